"""The pages of a daemon that really runs jobs: what they show is what is so, what they ask for happens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.harness import PASSWORD, USER
from tests.web.daemon import DaemonWorld, daemon_world
from tests.web.tab import PHONE, Tab, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]
FIGURE = re.compile(r"[1-9]")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonWorld]:
    with daemon_world(tmp_path_factory.mktemp("daemon")) as world:
        yield world


@pytest.fixture
def tab(browser: Browser, world: DaemonWorld) -> Iterator[Tab]:
    """The superuser's."""
    with opened(browser, world, USER, password=PASSWORD, clock=None) as tab:
        yield tab


@pytest.fixture
def anns(browser: Browser, world: DaemonWorld) -> Iterator[Tab]:
    with opened(browser, world, "ann", clock=None) as tab:
        yield tab


def status(world: DaemonWorld, name: str) -> str:
    return str(world.ask("GET", f"/job/{world.jobs[name]}")["status"])


def reason(world: DaemonWorld, name: str) -> str:
    return str(world.ask("GET", f"/job/{world.jobs[name]}")["reason"])


def enqueued(tab: Tab) -> int:
    """Sends the form that is filled; the job that came of it."""
    tab.button("Enqueue").click()
    return int(tab.page.get_by_role("link", name=re.compile(r"^Job \d+$")).inner_text().split()[1])


def test_a_job_from_the_form_to_its_end(tab: Tab, world: DaemonWorld, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tab.open("/#/enqueue/default")
    tab.page.get_by_label("Job type").select_option("told")
    tab.page.get_by_label("gate").fill(str(gate))
    expect(tab.page.get_by_label("Preview")).to_contain_text(str(gate))
    world.jobs["told"] = enqueued(tab)
    expect(tab.row("told")).to_contain_text("40 %")
    tab.row("told").get_by_role("link").click()
    tab.sees("Running", "40 %", re.compile(r"40% done|40 % · "), re.compile(r"ends about \d"))
    expect(tab.page.get_by_role("log", name="stdout")).to_contain_text("40% done")
    run_id = world.ask("GET", f"/job/{world.jobs['told']}")["flow_run_id"]
    flow_run = tab.page.get_by_role("link", name="flow run")
    expect(flow_run).to_have_attribute("href", re.compile(re.escape(f"/runs/flow-run/{run_id}")))
    (run,) = world.here.flow_runs(world.jobs["told"])
    assert run["id"] == run_id
    gate.touch()
    tab.sees("Done", "Exit code", "Took")
    expect(tab.page.get_by_role("log", name="stdout")).to_contain_text("100% done")
    tab.is_clean()


def test_what_such_jobs_took_tells_when_one_and_its_queue_will_have_ended(
    tab: Tab, world: DaemonWorld
) -> None:
    world.here.ended(world.enqueue("before", "default", "command", command="sleep", args="1"))
    world.enqueue("after", "night", "command", command="sleep", args="1")
    tab.open("/")
    queue = tab.page.get_by_role("row").filter(has=tab.page.get_by_role("link", name="Night renders"))
    expect(queue).to_contain_text(re.compile(r"Closed.*opens .*in 1 h \d+ min"))
    expect(queue).to_contain_text(re.compile(r"done about \w*.?\d\d:\d\d"))
    world.enqueue("one that runs", "default", "command", command="sleep", args="300")
    tab.until("it runs", lambda: status(world, "one that runs") == "Processing")
    tab.open("/#/queue/default")
    expect(tab.row("one that runs")).to_contain_text(re.compile(r"ends about \d\d:\d\d"))
    tab.row("one that runs").get_by_role("link").click()
    tab.sees(re.compile(r"Expected end\s*about \d\d:\d\d"))
    tab.button("Cancel…").click()
    tab.answer("Cancel the job")
    tab.sees("Failed", f"cancelled by {USER}")
    tab.until("Failed", lambda: status(world, "one that runs") == "Failed")
    tab.is_clean()


def test_a_closed_queue_says_when_it_opens_and_its_job_why_it_waits(anns: Tab, world: DaemonWorld) -> None:
    world.enqueue("closed", "night", "command", command="true")
    anns.open("/#/queue/night")
    queue = world.ask("GET", "/queue/night")
    assert (queue["open"], queue["enabled"]) == (False, True)
    anns.sees("Closed", f"opens {queue['next_change'][11:16]}" if same_day(queue) else "opens")
    expect(anns.row("closed")).to_contain_text(re.compile("opens|window|schedule"))
    anns.is_clean()


def same_day(queue: dict[str, str]) -> bool:
    return queue["next_change"][:10] == time.strftime("%Y-%m-%d", time.gmtime())


def test_who_may_use_one_queue_does_all_of_that_there_and_sees_no_more(anns: Tab, world: DaemonWorld) -> None:
    anns.open("/")
    expect(anns.page.get_by_role("link", name="Night renders", exact=True)).to_be_visible()
    for absent in ("default", "New queue"):
        expect(anns.page.locator("main")).not_to_contain_text(absent)
    anns.page.get_by_role("link", name="Enqueue in Night renders").click()
    anns.page.get_by_label("Command").fill("hostname")
    world.jobs["anns"] = enqueued(anns)
    expect(anns.row("anns")).to_contain_text("hostname")
    assert world.ask("GET", f"/job/{world.jobs['anns']}")["user_name"] == "ann"
    for item, wanted in (("Hold", "Postponed"), ("Release", "New")):
        anns.act("anns", item)
        anns.until(wanted, lambda wanted=wanted: status(world, "anns") == wanted)
    anns.act("anns", "Delete…")
    anns.answer("Delete")
    expect(anns.row("anns")).to_have_count(0)
    anns.open("/#/hosts")
    anns.sees("box")
    expect(anns.page.get_by_role("button", name=re.compile("^Actions of"))).to_have_count(0)
    anns.open("/#/queue/default")
    expect(anns.page.get_by_role("alert").first).to_contain_text("ViewJobs")
    anns.is_clean(refusals=(403,))


def test_a_machine_is_started_tested_drained_resumed_and_stopped(tab: Tab, world: DaemonWorld) -> None:
    def is_shown(state: str) -> None:
        expect(tab.page.locator(".pill")).to_have_text(state)

    tab.open("/#/hosts")
    is_shown("off")
    offers(tab, "Start", "Drain: no new jobs", "Test the connection")
    choose(tab, "Start", says="box is told to start")
    is_shown("ready")
    choose(tab, "Test the connection", says="box answers as it should")
    steps = tab.page.get_by_role("dialog").get_by_role("listitem")
    expect(steps.filter(has_text="command")).to_contain_text("is well")
    tab.answer("Close")
    choose(tab, "Drain: no new jobs", says="box gets no new jobs")
    is_shown("draining")
    world.jobs["there"] = world.ask(
        "POST", "/queue/default", {"type": "command", "host_name": "box", "params": {"command": "true"}}
    )
    tab.until("it says why it waits", lambda: "box" in reason(world, "there"))
    assert status(world, "there") == "New"
    offers(tab, "Resume")
    choose(tab, "Resume", says="box gets jobs again")
    is_shown("ready")
    tab.until("the job has run there", lambda: status(world, "there") == "Done")
    expect(tab.page.locator("main")).to_contain_text(re.compile(r"stops in (9|10) min"))
    choose(tab, "Stop…", says=None)
    tab.answer("Stop it")
    expect(tab.page.get_by_text("box is told to stop")).to_be_visible()
    tab.until("off", lambda: world.host("box")["state"] == "draining")
    choose(tab, "Resume", says="box gets jobs again")
    is_shown("off")
    tab.is_clean()


def test_a_machine_that_runs_a_job_is_not_stopped_and_the_page_says_why(tab: Tab, world: DaemonWorld) -> None:
    body = {"type": "command", "host_name": "box", "params": {"command": "sleep", "args": "300"}}
    world.jobs["busy"] = world.ask("POST", "/queue/default", body)
    tab.until("it runs", lambda: status(world, "busy") == "Processing")
    tab.open("/#/hosts")
    expect(tab.page.locator("main")).to_contain_text("1 running")
    choose(tab, "Stop…", says=None)
    tab.answer("Stop it")
    expect(tab.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("runs 1 jobs")
    tab.answer("Back")
    world.ask("POST", f"/job/{world.jobs['busy']}/cancel")
    tab.until("Failed", lambda: status(world, "busy") == "Failed")
    tab.is_clean(refusals=(409,))


def choose(tab: Tab, item: str, *, says: str | None) -> None:
    tab.menu("Actions of box", item)
    if says:
        expect(tab.page.get_by_text(says).last).to_be_visible()


def offers(tab: Tab, *items: str) -> None:
    tab.button("Actions of box").click()
    for item in items:
        expect(tab.page.get_by_role("menuitem", name=item)).to_be_visible()
    tab.page.keyboard.press("Escape")


def test_a_machine_that_does_not_answer_is_not_called_well(tab: Tab, world: DaemonWorld) -> None:
    tab.open("/#/hosts")
    known = world.here.state / "known_hosts"
    before = known.read_text()
    known.write_text("")
    try:
        choose(tab, "Test the connection", says="box cannot run jobs now")
        steps = tab.page.get_by_role("dialog").get_by_role("listitem")
        expect(steps.filter(has_text="failed")).to_have_count(1)
        tab.answer("Close")
    finally:
        known.write_text(before)
    tab.is_clean()


CHARTS: dict[str, Callable[[str], bool]] = {
    "Jobs by status": lambda said: "failed" in said,
    "Hosts": lambda said: "active" in said,
    "HTTP answers a second": lambda said: bool(FIGURE.search(said.partition("2xx")[2])),
    "Time to answer, mean": lambda said: "ms" in said,
    "Memory of batchd": lambda said: "MiB" in said,
    "Run time of jobs, mean": lambda said: "command" in said,
}


def test_the_monitor_draws_what_was_stored(tab: Tab, world: DaemonWorld) -> None:
    world.here.ended(world.enqueue("quick", "default", "command", command="false"))
    tab.open("/monitor")
    for title, is_so in CHARTS.items():
        chart = tab.page.get_by_role("img", name=re.compile(f"^{title}: "))
        tab.until(title, lambda c=chart, w=is_so: c.count() and w(c.get_attribute("aria-label") or ""))
        assert max(len(d.split("L")) for d in paths(tab, title)) > 1
    for period in ("21600", "86400", "604800"):
        tab.page.get_by_label("Period").select_option(period)
        tab.sees("Jobs by status")
    tab.page.get_by_label("with done jobs").check()
    expect(tab.page.get_by_role("img", name=re.compile("^Jobs by status:.* done [1-9]"))).to_be_visible()
    tab.is_clean()


def paths(tab: Tab, title: str) -> list[str]:
    drawn = tab.page.get_by_role("img", name=re.compile(f"^{title}: ")).locator("path")
    return [path.get_attribute("d") or "" for path in drawn.all()]


def test_on_a_phone_a_running_job_is_read_and_cancelled(browser: Browser, world: DaemonWorld) -> None:
    world.enqueue("on a phone", "default", "command", command="sleep", args="300")
    with opened(
        browser, world, USER, password=PASSWORD, clock=None, viewport=PHONE, has_touch=True, is_mobile=True
    ) as tab:
        tab.until("it runs", lambda: status(world, "on a phone") == "Processing")
        tab.open("/#/queue/default")
        tab.row("on a phone").get_by_role("link").tap()
        tab.button("Cancel…").tap()
        tab.page.get_by_role("dialog").get_by_role("button", name="Cancel the job").tap()
        tab.sees("Failed")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        tab.is_clean()
