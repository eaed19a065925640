"""The page without a mouse: nothing in here clicks."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import expect

from tests.web.tab import Tab
from tests.web.test_jobs import names_in_order, shown_order, status

pytestmark = pytest.mark.slow
MOST_TABS = 90
MOST_ITEMS = 20


def tab_to(tab: Tab, label: str, *, exact: bool = False) -> None:
    """Press Tab until what is focused is called so, or begins so."""
    for _ in range(MOST_TABS):
        tab.page.keyboard.press("Tab")
        name = focused(tab)
        if name == label or (not exact and name.startswith(label)):
            return
    raise AssertionError(f"no Tab leads to {label!r}; last: {focused(tab)!r}")


def focused(tab: Tab) -> str:
    return str(
        tab.page.evaluate(
            "(e => e.getAttribute('aria-label') ?? e.labels?.[0]?.textContent "
            "?? (e.matches('main, body') ? '' : e.textContent))(document.activeElement)"
        )
    )


def press(tab: Tab, *keys: str) -> None:
    for key in keys:
        tab.page.keyboard.press(key)


def choose(tab: Tab, opener: str, item: str) -> None:
    """From the menu of the button that is called so."""
    tab_to(tab, opener)
    press(tab, "Enter")
    from_menu(tab, item)


def from_menu(tab: Tab, item: str) -> None:
    expect(tab.page.get_by_role("menuitem", name=item)).to_be_visible()
    for _ in range(MOST_ITEMS):
        if focused(tab).startswith(item):
            press(tab, "Enter")
            return
        press(tab, "ArrowDown")
    raise AssertionError(f"no arrow leads to {item!r}; last: {focused(tab)!r}")


def actions_of(tab: Tab) -> None:
    """Of the row that is focused. A list that is drawn anew just then takes no key: then once more."""
    for _ in range(3):
        press(tab, "Space")
        with suppress(AssertionError):
            expect(tab.page.get_by_role("menu")).to_be_visible(timeout=10_000)
            return


def answer(tab: Tab, label: str) -> None:
    """The button of the dialog that is open."""
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    tab_to(tab, label, exact=True)
    press(tab, "Enter")


def to_row(tab: Tab, name: str, *, first: str) -> None:
    expect(tab.row(name)).to_be_visible()
    tab_to(tab, f"Job {tab.world.jobs[first]},")
    while f"Job {tab.world.jobs[name]}," not in focused(tab):
        press(tab, "ArrowDown")


def test_from_the_login_to_a_job_and_back(tabs, shared) -> None:
    tab = tabs(shared, None)
    tab.open("/")
    expect(tab.page.get_by_label("User name")).to_be_focused()
    tab.page.keyboard.type("ann")
    press(tab, "Tab")
    tab.page.keyboard.type("secret")
    press(tab, "Enter")
    tab.sees("Night renders")
    tab_to(tab, "Night renders")
    press(tab, "Enter")
    tab.sees("night opens at 22:00")
    tab_to(tab, f"Job {shared.jobs['running']},")
    press(tab, "ArrowDown", "ArrowDown", "Enter")
    tab.sees(f"#{shared.jobs['first']}")
    tab_to(tab, "night")
    press(tab, "Enter")
    tab.sees("Night renders")
    tab.is_clean()


def test_a_job_is_moved_and_keeps_the_focus(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night")
    tab.sees("night opens at 22:00")
    tab_to(tab, f"Job {own.jobs['running']},")
    press(tab, "ArrowDown", "ArrowDown")
    for key, place in (("ArrowDown", 2), ("End", 5), ("ArrowUp", 4), ("Home", 0)):
        press(tab, f"Alt+{key}")
        tab.until(f"Alt+{key}", lambda place=place: names_in_order(tab).index("first") == place)
        expect(tab.row("first")).to_be_focused()
    tab.is_clean()


def test_the_menu_of_a_row_and_back_to_the_row(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night")
    tab.sees("night opens at 22:00")
    tab_to(tab, f"Job {own.jobs['running']},")
    press(tab, "ArrowDown", "ArrowDown", "Space")
    expect(tab.page.get_by_role("menuitem", name="Hold")).to_be_focused()
    press(tab, "ArrowUp")
    expect(tab.page.get_by_role("menuitem", name="Delete…")).to_be_focused()
    press(tab, "Escape")
    expect(tab.page.get_by_role("menu")).to_have_count(0)
    press(tab, ".", "Enter")
    tab.until("held", lambda: status(tab, "first") == "Postponed")
    tab.is_clean()


def test_a_job_is_deleted_and_the_next_row_has_the_focus(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night")
    tab.sees("night opens at 22:00")
    tab_to(tab, f"Job {own.jobs['running']},")
    press(tab, "ArrowDown", "ArrowDown", "Delete")
    expect(tab.page.get_by_role("dialog").get_by_text("Back")).to_be_focused()
    press(tab, "Escape")
    expect(tab.row("first")).to_be_focused()
    press(tab, "Delete", "Tab", "Enter")
    expect(tab.row("first")).to_have_count(0)
    expect(tab.row("second")).to_be_focused()
    tab.is_clean()


def test_a_job_is_enqueued(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night")
    tab_to(tab, "Enqueue")
    press(tab, "Enter")
    tab.sees("Enqueue a job")
    tab_to(tab, "Command")
    tab.page.keyboard.type("uptime")
    tab_to(tab, "Enqueue")
    press(tab, "Enter")
    expect(tab.page.get_by_text("is enqueued in Night renders")).to_be_visible()
    tab.sees("uptime")
    tab.is_clean()


def test_one_can_skip_what_is_on_every_page(tabs, shared) -> None:
    tab = tabs(shared, "root")
    tab.open("/")
    tab.sees("Night renders")
    press(tab, "Tab")
    assert "Skip" in focused(tab)
    press(tab, "Enter", "Tab")
    assert "New queue" in focused(tab)
    tab.is_clean()


@pytest.mark.parametrize("user", ["root", "ann"])
def test_each_action_on_a_waiting_job(tabs, own, user: str) -> None:
    tab = tabs(own, user)
    tab.open("/#/queue/night")
    to_row(tab, "first", first="running")
    for item, shown in (("Hold", "Held"), ("Release", "New")):
        actions_of(tab)
        from_menu(tab, item)
        expect(tab.row("first").locator(".chip")).to_have_text(shown)
        expect(tab.row("first")).to_be_focused()
    for item, place in (("To the last place", 5), ("One up", 4), ("To the first place", 0), ("One down", 1)):
        actions_of(tab)
        from_menu(tab, item)
        tab.until(item, lambda place=place: shown_order(tab)[place : place + 1] == ["first"])
        assert names_in_order(tab).index("first") == place
        expect(tab.row("first")).to_be_focused()
    actions_of(tab)
    from_menu(tab, "Change")
    tab_to(tab, "Notes")
    tab.page.keyboard.type("only the start")
    answer(tab, "Change")
    expect(tab.row("first")).to_contain_text("only the start")
    actions_of(tab)
    from_menu(tab, "Cancel")
    answer(tab, "Cancel the job")
    tab.until("cancelled", lambda: status(tab, "first") == "Failed")
    tab.is_clean()


def test_a_failed_job_runs_again_and_one_like_it_is_enqueued(tabs, own) -> None:
    tab = tabs(own, "ann")
    tab.open("/#/queue/night/failed")
    to_row(tab, "failed", first="failed")
    actions_of(tab)
    from_menu(tab, "Enqueue one like it")
    expect(tab.page.get_by_label("input")).to_have_value("/films/shot-003.blend")
    tab.open("/#/queue/night/failed")
    to_row(tab, "failed", first="failed")
    actions_of(tab)
    from_menu(tab, "Run again")
    tab.until("New", lambda: status(tab, "failed") == "New")
    tab.is_clean()


def test_a_job_goes_to_another_queue(tabs, own) -> None:
    tab = tabs(own, "root")
    tab.open("/#/queue/night")
    to_row(tab, "first", first="running")
    actions_of(tab)
    from_menu(tab, "Move to a queue")
    expect(tab.page.get_by_role("dialog").get_by_label("Queue", exact=True)).to_be_focused()
    tab.page.keyboard.type("def")  # the first that begins so
    answer(tab, "Move")
    expect(tab.row("first")).to_have_count(0)
    assert own.facade.here.row(own.jobs["first"]).queue_name == "default"
    tab.is_clean()
