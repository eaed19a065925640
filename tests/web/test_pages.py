"""Every page as people see it: pictures for the documents, and the rules of accessibility on each.

With UPDATE_SCREENSHOTS=1 the pictures in docs/images are made anew.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta

import pytest
from playwright.sync_api import Route, expect

from tests.ground import NOW
from tests.packaging import ROOT
from tests.web.axe import findings, script, told
from tests.web.tab import PHONE, Tab

pytestmark = pytest.mark.slow
IMAGES = ROOT / "docs" / "images"
UPDATES = os.environ.get("UPDATE_SCREENSHOTS") == "1"
MOST_BYTES = 200_000


def job_path(tab: Tab, name: str) -> str:
    return f"/#/job/{tab.world.jobs[name]}"


def show_queues(tab: Tab) -> None:
    tab.open("/")
    tab.sees("Night renders")


def show_queue(tab: Tab) -> None:
    tab.open("/#/queue/night")
    tab.sees("night opens at 22:00", "Next")


def show_empty_queue(tab: Tab) -> None:
    tab.open("/#/queue/default")
    tab.sees("Nothing waits here")


def show_job(tab: Tab) -> None:
    tab.open(job_path(tab, "running"))
    expect(tab.page.get_by_role("log", name="stderr")).to_contain_text("textures")
    expect(tab.page.get_by_role("log", name="stdout")).to_contain_text("Fra:119")


def show_enqueue(tab: Tab) -> None:
    tab.open("/#/enqueue/night")
    tab.page.get_by_label("Job type").select_option("render")
    tab.page.get_by_label("input").fill("/films/shot-010.blend")
    expect(tab.page.get_by_label("Preview")).to_contain_text("shot-010")


def show_menu(tab: Tab) -> None:
    show_queue(tab)
    tab.button(f"Actions of job {tab.world.jobs['first']}").click()


def show_question(tab: Tab) -> None:
    show_queue(tab)
    tab.act("first", "Delete…")


def show_hosts(tab: Tab) -> None:
    tab.open("/#/hosts")
    tab.sees("farm")


def show_schedules(tab: Tab) -> None:
    tab.open("/#/schedules")
    tab.sees("office hours")


def show_schedule_form(tab: Tab) -> None:
    show_schedules(tab)
    tab.menu("Actions of night", "Change…")


def show_users(tab: Tab) -> None:
    tab.open("/#/users")
    tab.sees("ManageJobs · queue night")


def show_grant(tab: Tab) -> None:
    show_users(tab)
    tab.button("Permit eve something").click()


def show_monitor(tab: Tab) -> None:
    tab.page.route(re.compile(r"/monitor/.+"), recorded)
    tab.open("/monitor")
    tab.sees("Jobs by status", "Run time of jobs")


PAGES = {
    "queues": show_queues, "queue": show_queue, "empty-queue": show_empty_queue, "job": show_job,
    "enqueue": show_enqueue, "menu": show_menu, "question": show_question, "hosts": show_hosts,
    "schedules": show_schedules, "schedule-form": show_schedule_form, "users": show_users,
    "grant": show_grant, "monitor": show_monitor,
}  # fmt: skip
PICTURED = ("queues", "queue", "job", "enqueue", "hosts", "schedules", "users", "monitor")


def recorded(route: Route) -> None:
    """Two hours of records, as the contract has them."""
    times = [NOW - timedelta(minutes=2 * step) for step in range(60, -1, -1)]
    if route.request.url.partition("?")[0].endswith("/monitor/jobs"):
        route.fulfill(json=[one for n, time in enumerate(times) for one in job_counts(n, time)])
    else:
        prefix = route.request.url.split("/monitor/")[1].split("/")[0]
        rows = (one for n, time in enumerate(times) for one in metrics(n, time))
        route.fulfill(json=[row for row in rows if row["name"].startswith(prefix)])


def job_counts(n: int, time: object) -> list[dict[str, object]]:
    counts = {"new": max(0, 34 - n // 2 + n % 3), "processing": 2 + n % 2, "failed": n // 20, "done": n}
    return [
        {"time": stamp(time), "queue": "night", "status": key, "jobs": jobs} for key, jobs in counts.items()
    ]


def metrics(n: int, time: object) -> list[dict[str, object]]:
    def row(name: str, **fields: object) -> dict[str, object]:
        nulls = dict.fromkeys(("value", "text", "mean", "variance", "count", "sum", "min", "max"))
        return {"name": name, "time": stamp(time), "daemon": "Both", "kind": "g"} | nulls | fields

    return [
        row("batchd.hosts.active", value=1 + (n > 20) + (n > 40)),
        row("batchd.hosts.busy", value=1 + (n > 25)),
        row("batchd.wai.response_status_2xx", value=220 * n + (n % 5) * 60),
        row("batchd.wai.response_status_3xx", value=400 * n + (n % 7) * 40),
        row("batchd.wai.response_status_4xx", value=2 * n),
        row("batchd.wai.latency_distribution", count=500 * n, sum=2.1 * n + (n % 4) * 0.4),
        row("rts.gc.current_bytes_used", value=118_000_000 + 90_000 * n + (n % 9) * 700_000),
        row("batchd.job.duration", count=n, sum=260.0 * n + (n % 3) * 30),
        row("batchd.job.duration.type.render", count=n // 2, sum=(n // 2) * 300.0),
    ]


def stamp(time: object) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", ["light", "dark"])
def test_a_page_breaks_no_rule_of_accessibility(tabs, shared, name: str, look: str) -> None:
    source = script()
    tab = tabs(shared, "root", color_scheme=look)
    PAGES[name](tab)
    found = findings(tab.page, source)
    assert found == [], told(found)
    tab.is_clean()


@pytest.mark.parametrize("name", ["queue", "job", "enqueue", "schedules"])
def test_a_page_on_a_phone_breaks_none_and_is_not_wider_than_the_phone(tabs, shared, name: str) -> None:
    source = script()
    tab = tabs(shared, "root", viewport=PHONE, has_touch=True)
    PAGES[name](tab)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    found = findings(tab.page, source)
    assert found == [], told(found)
    tab.is_clean()


def test_the_login_breaks_no_rule_of_accessibility(tabs, shared) -> None:
    source = script()
    tab = tabs(shared, None)
    tab.open("/")
    expect(tab.page.get_by_label("User name")).to_be_focused()
    found = findings(tab.page, source)
    assert found == [], told(found)
    tab.is_clean()


@pytest.mark.parametrize("name", PICTURED)
def test_a_picture_of_each_page(tabs, shared, name: str) -> None:
    tab = tabs(shared, "root", reduced_motion="reduce")
    PAGES[name](tab)
    keep(tab, name)


def test_a_picture_in_the_dark_and_on_a_phone(tabs, shared) -> None:
    dark = tabs(shared, "root", color_scheme="dark")
    show_queue(dark)
    keep(dark, "dark")
    phone = tabs(shared, "root", viewport=PHONE)
    show_queue(phone)
    keep(phone, "phone")


def keep(tab: Tab, name: str) -> None:
    picture = tab.page.screenshot()
    assert 5_000 < len(picture) < MOST_BYTES
    if UPDATES:
        (IMAGES / f"web-{name}.png").write_bytes(picture)
    tab.is_clean()
