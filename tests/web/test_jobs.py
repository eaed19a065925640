"""Every action on a job, by a superuser and by somebody who may see and manage one queue alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FloatRect, Locator, expect

from tests.waiting import wait_until
from tests.web.tab import Tab

pytestmark = pytest.mark.slow
BOTH = pytest.mark.parametrize("user", ["root", "ann"])
IN_LINE = ("held", "first", "second", "third", "fourth", "fifth")


def names_in_order(tab: Tab) -> list[str]:
    """As the database has them."""
    found = {job: name for name, job in tab.world.jobs.items()}
    order = [found[job] for job in tab.world.facade.here.order("night") if job in found]
    return [name for name in order if name in IN_LINE]


def shown_order(tab: Tab) -> list[str]:
    found = {f"job-{job}": name for name, job in tab.world.jobs.items()}
    keys = [row.get_attribute("data-key") for row in tab.page.locator(".rows > .job-row").all()]
    return [found[str(key)] for key in keys if found[str(key)] in IN_LINE]


def status(tab: Tab, name: str) -> str:
    return str(tab.world.facade.here.row(tab.world.jobs[name]).status)


def chip(tab: Tab, name: str) -> Locator:
    return tab.row(name).locator(".chip")


@BOTH
def test_a_job_is_held_and_released(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night")
    tab.act("first", "Hold")
    expect(chip(tab, "first")).to_have_text("Held")
    assert status(tab, "first") == "Postponed"
    tab.act("first", "Release")
    expect(chip(tab, "first")).to_have_text("New")
    assert status(tab, "first") == "New"
    tab.is_clean()


@BOTH
def test_a_job_gets_another_place_by_the_menu(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night")
    for item, place in (("To the last place", 5), ("One up", 4), ("To the first place", 0), ("One down", 1)):
        tab.act("second", item)
        tab.until(item, lambda place=place: names_in_order(tab).index("second") == place)
        tab.until(f"{item} is shown", lambda: shown_order(tab) == names_in_order(tab))
    tab.is_clean()


@BOTH
def test_a_job_is_dragged_to_another_place(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night")
    drag(tab, "fifth", "first")
    tab.until("the new order", lambda: names_in_order(tab)[:3] == ["held", "fifth", "first"])
    tab.until("the new order is shown", lambda: shown_order(tab) == names_in_order(tab))
    drag(tab, "held", "fourth")
    tab.until("the new order", lambda: names_in_order(tab)[-2:] == ["held", "fourth"])
    tab.is_clean()


def resting(tab: Tab, thing: Locator) -> FloatRect:
    """Where it is when the page has come to rest: what comes in above a list moves its rows down."""
    places = [thing.bounding_box()]

    def rests() -> bool:
        tab.page.wait_for_timeout(100)
        places.append(thing.bounding_box())
        return places[-1] is not None and places[-1] == places[-2]

    wait_until(rests, 30, f"{thing} to rest")
    assert places[-1] is not None
    return places[-1]


def drag(tab: Tab, name: str, before: str, *, drop: bool = True) -> None:
    grip, target = resting(tab, tab.row(name).locator(".grip")), resting(tab, tab.row(before))
    tab.page.mouse.move(grip["x"] + 10, grip["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(target["x"] + 20, target["y"] + 20, steps=5)
    tab.page.mouse.move(target["x"] + 20, target["y"] + 3)
    expect(tab.page.locator(".drop-line")).to_be_visible()
    if drop:
        tab.page.mouse.up()


def test_escape_lets_go_of_what_is_dragged(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/queue/night")
    before = names_in_order(tab)
    drag(tab, "fifth", "first", drop=False)
    tab.page.keyboard.press("Escape")
    tab.page.mouse.up()
    expect(tab.page.locator(".drop-line")).to_be_hidden()
    assert names_in_order(tab) == before
    tab.is_clean()


@BOTH
def test_a_job_is_cancelled_after_a_question(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night")
    tab.act("first", "Cancel…")
    tab.answer("Back")
    assert status(tab, "first") == "New"
    tab.act("first", "Cancel…")
    tab.answer("Cancel the job")
    expect(tab.row("first")).to_have_count(0)
    assert status(tab, "first") == "Failed"
    tab.page.get_by_role("link", name=re.compile("^Failed")).click()
    expect(tab.row("first")).to_contain_text(f"cancelled by {user}")
    tab.is_clean()


@BOTH
def test_a_failed_job_runs_again(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night/failed")
    expect(tab.row("failed")).to_contain_text("killed by signal 9")
    tab.act("failed", "Run again")
    expect(tab.row("failed")).to_have_count(0)
    tab.sees("No job has failed")
    assert status(tab, "failed") == "New"
    tab.is_clean()


@BOTH
def test_a_job_is_deleted_after_a_question(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night/done")
    tab.act("done", "Delete…")
    tab.sees("Done")
    tab.answer("Delete")
    tab.sees("No job is done yet")
    assert own.facade.here.row(own.jobs["done"]) is None
    tab.is_clean()


@BOTH
def test_a_waiting_job_is_changed(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open(f"/#/job/{own.jobs['first']}")
    tab.button("Change…").click()
    tab.page.get_by_label("frames").fill("12")
    tab.page.get_by_label("Notes").fill("only the start")
    tab.answer("Change")
    tab.sees("only the start", "12")
    row = own.facade.here.row(own.jobs["first"])
    assert row.params == {"input": "/films/shot-005.blend", "frames": "12"}
    tab.is_clean()


def test_what_the_facade_refuses_is_said_in_the_dialog_that_stays_open(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open(f"/#/job/{own.jobs['first']}")
    tab.button("Change…").click()
    tab.page.get_by_label("frames").fill("many")
    tab.answer("Change")
    expect(tab.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("many")
    expect(tab.page.get_by_label("frames")).to_have_value("many")
    tab.is_clean(refusals=(400,))


def test_a_superuser_moves_a_job_to_another_queue(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/queue/night")
    tab.act("first", "Move to a queue…")
    tab.page.get_by_label("Queue", exact=True).select_option("default")
    tab.answer("Move")
    expect(tab.row("first")).to_have_count(0)
    assert own.facade.here.row(own.jobs["first"]).queue_name == "default"
    tab.is_clean()


def test_who_manages_one_queue_has_nowhere_to_move_to(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night")
    tab.act("first", "Move to a queue…")
    expect(tab.page.get_by_text("no other queue that you may move it to")).to_be_visible()
    tab.is_clean()


def test_an_action_that_comes_too_late_says_so_in_its_row(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/queue/night")
    tab.button(f"Actions of job {own.jobs['first']}").click()
    own.facade.here.set_job(own.jobs["first"], status="Processing")
    own.facade.here.attempt(own.jobs["first"], queue_name="night")
    tab.page.get_by_role("menuitem", name="Hold").click()
    expect(tab.row("first")).to_contain_text("only a New job can be postponed")
    tab.is_clean(refusals=(409,))


def test_who_may_see_one_queue_sees_that_one_and_nothing_to_do(tabs, shared) -> None:
    tab = tabs(shared, "eve")
    tab.open("/")
    tab.sees("Night renders")
    for absent in ("Daytime", "lab", "Enqueue", "New queue"):
        expect(tab.page.locator("main")).not_to_contain_text(absent)
    nav = tab.page.get_by_role("navigation", name="Main")
    expect(nav).to_have_text("QueuesHostsMonitor")
    tab.page.get_by_role("link", name="Night renders", exact=True).click()
    tab.sees("night opens at 22:00")
    expect(tab.page.locator(".rows .grip, .rows button")).to_have_count(0)
    tab.row("running").get_by_role("link").click()
    expect(tab.page.get_by_role("log", name="stdout")).to_contain_text("Fra:119")
    for absent in ("Cancel…", "Change…", "Run again"):
        expect(tab.button(absent)).to_have_count(0)
    tab.is_clean()


def test_a_queue_that_one_may_not_see_is_refused_in_the_facades_words(tabs, shared) -> None:
    tab = tabs(shared, "eve")
    tab.open("/#/queue/day")
    expect(tab.page.get_by_role("alert").first).to_contain_text("ViewJobs")
    tab.open("/#/users")
    tab.sees("For superusers")
    tab.is_clean(refusals=(403,))


def test_the_job_leads_to_its_flow_run_in_prefect(tabs, shared) -> None:
    tab = tabs(shared, "root")
    tab.open(f"/#/job/{shared.jobs['running']}")
    link = tab.page.get_by_role("link", name="flow run")
    expect(link).to_have_attribute("href", re.compile(r"^http://127\.0\.0\.1:4200/runs/flow-run/0198a2f4"))
    tab.is_clean()


def test_progress_is_shown_where_a_job_has_some(tabs, shared) -> None:
    tab = tabs(shared, "root")
    progress = {"percent": 41.7, "text": "frame 100 of 240", "eta": "2026-11-24T12:35:00.000000Z"}

    def with_progress(route) -> None:
        answer = route.fetch()
        body = answer.json()
        for job in body if isinstance(body, list) else [body]:
            job["progress"] = progress if job["status"] == "Processing" else None
        route.fulfill(response=answer, json=body)

    tab.page.route(re.compile(r"/queue/night/jobs|/job/\d+$"), with_progress)
    tab.open("/#/queue/night")
    expect(tab.row("running")).to_contain_text("42 % · ends about 12:35")
    tab.row("running").get_by_role("link").click()
    tab.sees("42 % · frame 100 of 240 · ends about 12:35")
    tab.page.unroute_all(behavior="wait")
    tab.is_clean()
