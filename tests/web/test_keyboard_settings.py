"""Without a mouse: queues, schedules, users, hosts, one's own account, output and figures."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.web.tab import Tab
from tests.web.test_keyboard import answer, choose, focused, press, tab_to

pytestmark = pytest.mark.slow


def opened(tab: Tab, label: str) -> None:
    """The dialog of that button, its first field focused."""
    tab_to(tab, label)
    press(tab, "Enter")
    expect(tab.page.get_by_role("dialog")).to_be_visible()


def typed(tab: Tab, label: str, text: str) -> None:
    tab_to(tab, label)
    press(tab, "ControlOrMeta+a")
    tab.page.keyboard.type(text)


def test_a_queue_is_made_changed_turned_off_and_deleted(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/")
    tab.sees("Night renders")
    opened(tab, "New queue")
    tab.page.keyboard.type("weekly")
    answer(tab, "Make the queue")
    tab.sees("weekly")
    choose(tab, "Actions of weekly", "Settings")
    typed(tab, "Title", "Once a week")
    typed(tab, "Jobs at once", "2")
    answer(tab, "Save")
    tab.sees("Once a week")
    assert own.facade.here.queues.get("weekly")["max_jobs"] == 2
    choose(tab, "Actions of Once a week", "Turn off")
    tab.until("off", lambda: own.facade.here.queues.get("weekly")["enabled"] is False)
    choose(tab, "Actions of Once a week", "Delete the queue")
    answer(tab, "Delete")
    expect(tab.page.locator("main")).not_to_contain_text("Once a week")
    tab.is_clean()


def test_done_jobs_are_cleared_and_a_tab_is_chosen(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/queue/night")
    tab.sees("night opens at 22:00")
    tab_to(tab, "Done")
    press(tab, "Enter")
    expect(tab.row("done")).to_be_visible()
    choose(tab, "Actions of Night renders", "Delete done jobs")
    answer(tab, "Delete them")
    tab.sees("No job is done yet")
    tab.is_clean()


def test_a_schedule_is_made_changed_and_deleted(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/schedules")
    tab.sees("office hours")
    opened(tab, "New schedule")
    tab.page.keyboard.type("weekend")
    tab_to(tab, "Mon")
    press(tab, "Space")
    answer(tab, "Make the schedule")
    tab.sees("weekend", "Tue–Sun, 22:00–06:00")
    choose(tab, "Actions of weekend", "Change")
    tab_to(tab, "Remove this time")
    press(tab, "Enter")
    answer(tab, "Save")
    tab.sees("Tue–Sun, all day")
    choose(tab, "Actions of weekend", "Delete")
    answer(tab, "Delete")
    expect(tab.page.locator("main")).not_to_contain_text("weekend")
    tab.is_clean()


def test_a_user_is_made_permitted_and_deleted(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/users")
    tab.sees("ann")
    opened(tab, "New user")
    tab.page.keyboard.type("joe")
    typed(tab, "Password", "a secret of joe")
    answer(tab, "Make the user")
    tab.sees("nothing yet")
    choose(tab, "Actions of joe", "Permit something")
    tab_to(tab, "In")
    press(tab, "n")  # the first that begins so
    answer(tab, "Permit")
    tab.sees("ViewJobs · queue night")
    choose(tab, "Actions of joe", "Set a password")
    typed(tab, "Password", "another one of joe")
    answer(tab, "Set")
    expect(tab.page.get_by_text("joe has a new password")).to_be_visible()
    tab_to(tab, "Revoke ViewJobs · queue night of joe")
    press(tab, "Enter")
    answer(tab, "Revoke")
    tab.sees("nothing yet")
    choose(tab, "Actions of joe", "Delete")
    answer(tab, "Delete")
    expect(tab.page.locator("main")).not_to_contain_text("joe")
    tab.is_clean()


def test_a_host_is_drained_and_resumed(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/hosts")
    tab.sees("farm", "lab")
    choose(tab, "Actions of lab", "Drain")
    tab.sees("draining")
    choose(tab, "Actions of lab", "Resume")
    expect(tab.page.locator("main")).not_to_contain_text("draining")
    tab.is_clean()


def test_the_look_the_keys_and_ones_way_out(tabs, own) -> None:
    tab = tabs(own, None)
    tab.open("/")
    expect(tab.page.get_by_label("User name")).to_be_focused()
    tab.page.keyboard.type("ann")
    press(tab, "Tab")
    tab.page.keyboard.type("secret")
    press(tab, "Enter")
    tab.sees("Night renders")
    choose(tab, "ann", "Look: dark")
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "dark")
    choose(tab, "ann", "Keys")
    expect(tab.page.get_by_role("dialog")).to_contain_text("move it in the queue")
    press(tab, "Escape")
    choose(tab, "ann", "Change password")
    expect(tab.page.get_by_label("New password")).to_be_focused()
    tab.page.keyboard.type("a better one")
    typed(tab, "The same again", "a better one")
    answer(tab, "Change")
    expect(tab.page.get_by_text("Your password is changed.")).to_be_visible()
    choose(tab, "ann", "Log out")
    expect(tab.page.get_by_label("User name")).to_be_focused()
    tab.is_clean()


def test_output_is_scrolled_wrapped_and_downloaded(tabs, shared) -> None:
    tab = tabs(shared, "ann")
    tab.open(f"/#/job/{shared.jobs['running']}")
    log = tab.page.get_by_role("log", name="stdout")
    expect(log).to_contain_text("Fra:119")
    tab_to(tab, "Wrap lines of stdout")
    press(tab, "Enter")
    expect(log).to_have_class("lines wrapped")
    tab_to(tab, "Download stdout")
    with tab.page.expect_download() as download:
        press(tab, "Enter")
    assert download.value.path().read_text().startswith("Blender")
    tab_to(tab, "stdout")
    assert focused(tab) == "stdout"
    press(tab, "Home")
    expect(tab.page.get_by_label("Follow").first).not_to_be_checked()
    tab.is_clean()


def test_the_period_of_the_monitor_is_chosen(tabs, shared) -> None:
    tab = tabs(shared, "ann")
    tab.open("/monitor")
    expect(tab.page.get_by_role("heading", name="Monitor")).to_be_visible()
    tab_to(tab, "with done jobs")
    press(tab, "Space")
    expect(tab.page.get_by_label("with done jobs")).to_be_checked()
    tab_to(tab, "Period")
    with tab.page.expect_request(lambda request: "last=21600" in request.url):
        press(tab, "ArrowDown")
    tab.is_clean()
