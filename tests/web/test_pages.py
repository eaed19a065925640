"""Every page as people see it: pictures for the documents, and the rules of accessibility on each.

With UPDATE_SCREENSHOTS=1 the pictures in docs/images are made anew.
"""

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import expect

from tests.packaging import ROOT
from tests.web.axe import CONTRAST, findings, script, told
from tests.web.records import two_hours
from tests.web.tab import PHONE, Tab
from tests.web.world import World

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
    tab.open("/monitor")
    expect(tab.page.get_by_role("img", name=re.compile("^Jobs by status: running [23]"))).to_be_visible()
    expect(tab.page.get_by_role("img", name=re.compile("^Run time of jobs, mean: .*render"))).to_be_visible()


PAGES = {
    "queues": show_queues, "queue": show_queue, "empty-queue": show_empty_queue, "job": show_job,
    "enqueue": show_enqueue, "menu": show_menu, "question": show_question, "hosts": show_hosts,
    "schedules": show_schedules, "schedule-form": show_schedule_form, "users": show_users,
    "grant": show_grant, "monitor": show_monitor,
}  # fmt: skip
PICTURED = ("queues", "queue", "job", "enqueue", "hosts", "schedules", "users", "monitor")


@pytest.fixture(scope="module", autouse=True)
def stored(shared: World) -> None:
    two_hours(shared.facade)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_breaks_no_rule_of_accessibility(tabs, shared, name: str) -> None:
    source = script()
    tab = tabs(shared, "root", color_scheme="light")
    PAGES[name](tab)
    found = findings(tab.page, source)
    assert found == [], told(found)
    tab.is_clean()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_readable_in_the_dark(tabs, shared, name: str) -> None:
    source = script()
    tab = tabs(shared, "root", color_scheme="dark")
    PAGES[name](tab)
    found = findings(tab.page, source, CONTRAST)
    assert found == [], told(found)
    tab.is_clean()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_not_wider_than_a_phone(tabs, shared, name: str) -> None:
    tab = tabs(shared, "root", viewport=PHONE, has_touch=True)
    PAGES[name](tab)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tab.is_clean()


@pytest.mark.parametrize("name", ["queue", "job", "enqueue", "schedules"])
def test_a_page_on_a_phone_breaks_no_rule_either(tabs, shared, name: str) -> None:
    source = script()
    tab = tabs(shared, "root", viewport=PHONE, has_touch=True)
    PAGES[name](tab)
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
