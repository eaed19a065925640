"""Queues, schedules, users, one's own account: made, changed and deleted in the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from batchd_api.host_ledger import write_entry
from batchd_infra.host_ledger import HostEntry, HostPhase

pytestmark = pytest.mark.slow


def test_a_queue_is_made_changed_turned_off_and_deleted(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/")
    tab.button("New queue").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("night")
    tab.answer("Make the queue")
    expect(dialog.get_by_role("alert")).to_contain_text("night")
    dialog.get_by_label("Name", exact=True).fill("weekly")
    dialog.get_by_label("Schedule").select_option("night")
    dialog.get_by_label("Jobs at once").fill("3")
    tab.answer("Make the queue")
    tab.sees("weekly")
    queue = own.facade.here.queues.get("weekly")
    assert (queue["schedule_name"], queue["max_jobs"], queue["enabled"]) == ("night", 3, True)
    tab.menu("Actions of weekly", "Settings…")
    dialog.get_by_label("Title").fill("Once a week")
    dialog.get_by_label("Jobs at once").fill("")
    tab.answer("Save")
    tab.sees("Once a week")
    assert own.facade.here.queues.get("weekly")["max_jobs"] is None
    tab.page.get_by_role("link", name="Once a week", exact=True).click()
    tab.button("Turn off").click()
    tab.sees("Off")
    assert own.facade.here.queues.get("weekly")["enabled"] is False
    tab.button("Turn on").click()
    expect(tab.button("Turn off")).to_be_visible()
    tab.menu("Actions of Once a week", "Delete the queue…")
    tab.answer("Delete")
    tab.sees("Night renders")
    expect(tab.page.locator("main")).not_to_contain_text("Once a week")
    tab.is_clean(refusals=(409,))


def test_a_queue_with_jobs_is_deleted_only_when_it_is_said_twice(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/")
    tab.menu("Actions of Daytime", "Delete the queue…")
    tab.answer("Delete")
    expect(tab.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is not empty (jobs: 1)")
    tab.answer("Delete")
    expect(tab.page.locator("main")).not_to_contain_text("Daytime")
    tab.is_clean(refusals=(403,))


def test_the_done_jobs_of_a_queue_are_cleared(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/queue/night/done")
    expect(tab.row("done")).to_be_visible()
    tab.menu("Actions of Night renders", "Delete done jobs…")
    tab.answer("Delete them")
    tab.sees("No job is done yet")
    assert own.facade.here.row(own.jobs["failed"]) is not None
    tab.is_clean()


def test_a_schedule_is_made_changed_and_deleted(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/schedules")
    expect(tab.page.get_by_role("img", name="Open every day, 22:00–06:00")).to_be_visible()
    tab.button("New schedule").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("weekend")
    for day in ("Mon", "Tue", "Wed", "Thu", "Fri"):
        dialog.get_by_role("checkbox", name=day).uncheck()
    dialog.get_by_label("Begins").fill("20:00")
    dialog.get_by_label("Ends").fill("04:30")
    expect(dialog.get_by_role("img", name="Open Sat, Sun, 20:00–04:30")).to_be_visible()
    tab.answer("Make the schedule")
    tab.sees("weekend", "Used by no queue")
    with own.facade.client() as root:
        (made,) = [one for one in root.get("/schedule").json() if one["name"] == "weekend"]
    period = {"begin": "20:00:00", "end": "04:30:00"}
    assert made == {"name": "weekend", "weekdays": ["Saturday", "Sunday"], "time": [period]}
    tab.menu("Actions of weekend", "Change…")
    tab.button("Remove this time").click()
    tab.answer("Save")
    tab.sees("Sat, Sun, all day")
    tab.menu("Actions of weekend", "Delete…")
    tab.answer("Delete")
    expect(tab.page.locator("main")).not_to_contain_text("weekend")
    tab.menu("Actions of office hours", "Delete…")
    expect(tab.page.get_by_role("dialog")).to_contain_text("It is used by Daytime")
    tab.answer("Delete it and its queues")
    expect(tab.page.locator("main")).not_to_contain_text("office hours")
    tab.is_clean()


def test_the_week_shows_a_time_over_midnight_on_both_days(tabs, shared) -> None:
    tab = tabs(shared, "root")
    tab.open("/")
    found = tab.page.evaluate(
        "import('/web/js/week_chart.js').then(m => m.bars({weekdays: ['Sunday', 'Monday'],"
        " time: [{begin: '22:00:00', end: '06:00:00'}, {begin: '12:00:00', end: '00:00:00'}]}))"
    )
    assert sorted(found) == [[0, 0, 360], [0, 720, 1440], [0, 1320, 1440], [1, 0, 360], [6, 720, 1440],
                             [6, 1320, 1440]]  # fmt: skip
    tab.is_clean()


def test_a_user_is_made_permitted_and_deleted(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/users")
    tab.button("New user").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("joe")
    dialog.get_by_label("Password").fill("first secret")
    tab.answer("Make the user")
    tab.sees("nothing yet")
    tab.button("Permit joe something").click()
    dialog.get_by_label("To", exact=True).select_option("CreateJobs")
    dialog.get_by_label("In").select_option("night")
    dialog.get_by_label("Of").select_option("render")
    dialog.get_by_label("On").select_option("__default__")
    tab.answer("Permit")
    tab.sees("CreateJobs · queue night · type render · default host")
    tab.menu("Actions of joe", "Set a password…")
    dialog.get_by_label("Password").fill("second secret")
    tab.answer("Set")
    expect(tab.page.get_by_text("joe has a new password")).to_be_visible()
    with own.facade.client("joe", "second secret") as joe:
        assert joe.get("/whoami").json()["permissions"][0]["type_name"] == "render"
    tab.button("Revoke CreateJobs · queue night · type render · default host of joe").click()
    tab.answer("Revoke")
    tab.sees("nothing yet")
    tab.menu("Actions of joe", "Delete…")
    tab.answer("Delete")
    expect(tab.page.locator("main")).not_to_contain_text("joe")
    tab.is_clean()


def test_the_last_superuser_stays_and_the_page_says_why(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/users")
    tab.menu("Actions of root", "Delete…")
    tab.answer("Delete")
    expect(tab.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("superuser")
    tab.answer("Back")
    tab.sees("root")
    tab.is_clean(refusals=(403,))


def test_one_changes_ones_password_and_logs_out(tabs, own) -> None:
    tab = tabs(own, None)
    tab.open("/")
    tab.page.get_by_label("User name").fill("ann")
    tab.page.get_by_label("Password").fill("wrong")
    tab.button("Log in").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("the user name or the password is wrong")
    tab.page.get_by_label("Password").fill("secret")
    tab.button("Log in").click()
    tab.sees("Night renders")
    tab.menu("ann", "Change password…")
    tab.page.get_by_label("New password").fill("a better one ✓")
    tab.page.get_by_label("The same again").fill("a better one")
    tab.answer("Change")
    expect(tab.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("not the same")
    tab.page.get_by_label("The same again").fill("a better one ✓")
    tab.answer("Change")
    expect(tab.page.get_by_text("Your password is changed.")).to_be_visible()
    tab.page.reload()
    tab.sees("Night renders")
    tab.menu("ann", "Log out")
    expect(tab.page.get_by_label("User name")).to_be_visible()
    assert tab.page.evaluate("sessionStorage.length") == 0
    tab.is_clean(refusals=(401,))


def test_a_login_that_ends_meanwhile_is_asked_for_again_and_goes_on_there(tabs, own) -> None:
    tab = tabs(own, None)
    tab.open(f"/#/job/{own.jobs['done']}")
    for password in ("secret", "another"):
        tab.page.get_by_label("User name").fill("ann")
        tab.page.get_by_label("Password").fill(password)
        tab.button("Log in").click()
        tab.sees("Exit code")
        own.facade.users.set_password("ann", "another")
    tab.is_clean(refusals=(401,))


def test_the_look_is_chosen_and_kept(tabs, shared) -> None:
    tab = tabs(shared, "root")
    tab.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.page.evaluate(ground)
    tab.menu("root", "Look: dark")
    dark = tab.page.evaluate(ground)
    assert dark != light
    tab.page.reload()
    tab.sees("Queues")
    assert tab.page.evaluate(ground) == dark
    tab.is_clean()


def test_of_a_machine_whose_file_is_gone_the_stop_alone_is_offered(tabs, own) -> None:
    gone = HostEntry(name="gone", phase=HostPhase.READY, ours=True, controller="cloud")
    with own.facade.here.database.write() as connection:
        write_entry(connection, "gone", lambda _: gone)
    tab = tabs(own, "root")
    tab.open("/#/hosts")
    tab.sees("no file defines it any more")
    tab.button("Actions of gone").click()
    expect(tab.page.get_by_role("menuitem")).to_have_text(["Stop…"])
    tab.page.keyboard.press("Escape")
    tab.menu("Actions of gone", "Stop…")
    tab.answer("Stop it")
    expect(tab.page.get_by_text("gone is told to stop")).to_be_visible()
    tab.is_clean()
