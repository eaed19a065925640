"""The page without a mouse: nothing in here clicks."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.web.tab import Tab
from tests.web.test_jobs import names_in_order, status

pytestmark = pytest.mark.slow
MOST_TABS = 40


def tab_to(tab: Tab, label: str) -> None:
    """Press Tab until what is focused is called so."""
    for _ in range(MOST_TABS):
        tab.page.keyboard.press("Tab")
        if label in focused(tab):
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
