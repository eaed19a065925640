"""Ten thousand jobs in a queue: the first rows at once, any row by scrolling, few elements, few bytes."""

from __future__ import annotations

import re
from time import monotonic

import pytest
from playwright.sync_api import expect

from tests.web.world import many

pytestmark = pytest.mark.slow
COUNT = 10_000
FIRST_ROWS_SECONDS = 20.0  # on a loaded machine; about 1 s on one with nothing else to do
MOST_ELEMENTS = 60
MOST_REQUESTS = 20  # without the page's own files, until the second look at the jobs
MOST_BYTES = 500_000  # of jobs; all of them would be some 5 MB
MOST_NODES = 2500


@pytest.fixture(scope="module")
def crowded(shared):
    many(shared.facade, "lab", COUNT)
    return shared


def test_the_first_rows_are_there_soon_and_the_last_by_one_key(tabs, crowded) -> None:
    tab = tabs(crowded, "root")
    tab.open("/")
    tab.sees("10 000 new")
    began = monotonic()
    tab.page.get_by_role("link", name="lab", exact=True).click()
    tab.sees("number 1")
    assert monotonic() - began < FIRST_ROWS_SECONDS
    rows = tab.page.locator(".rows > .job-row")
    assert rows.count() < MOST_ELEMENTS
    rows.first.focus()
    tab.page.keyboard.press("End")
    tab.sees(f"number {COUNT}")
    expect(rows.last).to_be_focused()
    assert rows.count() < MOST_ELEMENTS
    tab.page.keyboard.press("Home")
    expect(rows.first).to_be_focused()
    tab.is_clean()


def test_one_scrolls_through_all_of_them(tabs, crowded) -> None:
    tab = tabs(crowded, "root")
    tab.open("/#/queue/lab")
    tab.sees("number 1")
    grid = tab.page.get_by_role("grid")
    seen = 0
    while seen < 2000:
        grid.hover()
        tab.page.mouse.wheel(0, 20_000)
        tab.page.wait_for_timeout(30)
        shown = tab.page.locator(".rows > .job-row .job-text").last.inner_text()
        seen = max(seen, int(shown.rpartition(" ")[2]))
    assert tab.page.locator(".rows > .job-row").count() < MOST_ELEMENTS
    tab.is_clean()


def test_the_page_asks_for_little_and_a_row_costs_the_same_in_a_long_queue(tabs, crowded) -> None:
    tab = tabs(crowded, "root")
    sizes: list[int] = []
    tab.page.on(
        "response",
        lambda answer: "/jobs?" in answer.url and sizes.append(int(answer.headers.get("content-length", 0))),
    )
    tab.open("/#/queue/lab")
    tab.sees("number 1")
    tab.until("the second look", lambda: len([url for url in tab.requests if "/jobs?" in url]) >= 2)
    asked = [url for url in tab.requests if "/web/" not in url]
    assert len(asked) < MOST_REQUESTS, asked
    assert 0 < sum(sizes) < MOST_BYTES
    assert tab.page.evaluate("document.querySelectorAll('*').length") < MOST_NODES
    tab.is_clean()


def test_what_has_not_changed_is_not_sent_again(tabs, crowded) -> None:
    tab = tabs(crowded, "root")
    answers: list[int] = []
    tab.page.on("response", lambda a: re.search("/jobs[?]", a.url) and answers.append(a.status))
    tab.open("/#/queue/lab")
    tab.until("a look that finds nothing new", lambda: 304 in answers)
    assert answers[0] == 200
    tab.is_clean()


def test_a_job_goes_from_deep_down_to_the_first_place(tabs, crowded) -> None:
    tab = tabs(crowded, "root")
    tab.open("/#/queue/lab")
    rows = tab.page.locator(".rows > .job-row")
    rows.first.focus()
    tab.page.keyboard.press("End")
    tab.sees(f"number {COUNT}")
    tab.page.keyboard.press("Alt+Home")
    last = max(crowded.facade.here.order("lab"))
    tab.until("the first place", lambda: crowded.facade.here.order("lab")[0] == last)
    tab.page.keyboard.press("Home")
    expect(rows.first).to_contain_text(f"number {COUNT}")
    tab.is_clean()
