"""A tab of a real browser, and everything that it asked for or complained of."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.ground import NOW
from tests.waiting import missing, wait_until

WAIT_SECONDS = 60  # on a loaded machine; what is waited for usually takes less than one
# What Chromium itself writes of an answer that refuses; the page shows the facade's sentence.
REFUSAL = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d)")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
DESKTOP = {"width": 1280, "height": 760}
PHONE = {"width": 390, "height": 780}


class Site(Protocol):
    """What a tab looks at; its jobs by the names that a test knows them by."""

    @property
    def url(self) -> str: ...
    @property
    def jobs(self) -> dict[str, int]: ...


@dataclass(kw_only=True)
class Tab:
    page: Page
    world: Any  # a Site; tests look into what is behind theirs
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.world.url + path)

    def row(self, name: str) -> Locator:
        return self.page.locator(f'[data-key="job-{self.world.jobs[name]}"]')

    def menu(self, opener: str | Locator, item: str) -> None:
        found = self.button(opener) if isinstance(opener, str) else opener
        found.click()
        self.page.get_by_role("menuitem", name=item).click()

    def act(self, name: str, item: str) -> None:
        """An action from the menu of a job's row."""
        self.menu(f"Actions of job {self.world.jobs[name]}", item)

    def button(self, label: str) -> Locator:
        return self.page.get_by_role("button", name=label, exact=True)

    def answer(self, label: str) -> None:
        """The button of the dialog that is open."""
        self.page.get_by_role("dialog").get_by_role("button", name=label, exact=True).click()

    def sees(self, *texts: str | re.Pattern[str]) -> None:
        for text in texts:
            expect(self.page.locator("main")).to_contain_text(text)

    def until(self, what: str, look: Callable[[], Any]) -> None:
        """Wait for something outside the page; the page goes on meanwhile."""

        def looking() -> Any:
            self.page.wait_for_timeout(20)  # lets the browser's own events through
            return look()

        wait_until(looking, WAIT_SECONDS, what)

    def is_clean(self, *, refusals: tuple[int, ...] = ()) -> None:
        """Nobody else was spoken to, nothing complained, and only these refusals came."""
        foreign = [url for url in self.requests if not url.startswith((self.world.url, "blob:", "data:"))]
        assert foreign == [], foreign
        assert self.complaints == [], self.complaints
        assert set(self.refusals) == set(refusals), self.refusals

    def heard(self, kind: str, text: str) -> None:
        refusal = REFUSAL.match(text)
        if refusal:
            self.refusals.append(int(refusal[1]))
        elif kind in ("error", "warning"):
            self.complaints.append(text)


@contextmanager
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        missing("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    world: Site,
    user: str | None,
    *,
    password: str = "secret",
    clock: datetime | None = NOW,
    **fields: Any,
) -> Iterator[Tab]:
    """Logged in as `user`, as if the login had been typed; the browser's clock stands still at `clock`."""
    settings = {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "UTC"} | fields
    context = browser.new_context(**settings)
    context.set_default_timeout(WAIT_SECONDS * 1000)
    expect.set_options(timeout=WAIT_SECONDS * 1000)
    if user is not None:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        context.add_init_script(f"sessionStorage['batchd-login'] ??= 'Basic {token}'")
    tab = Tab(page=context.new_page(), world=world)
    _listen(context, tab)
    if clock is not None:
        tab.page.clock.set_fixed_time(clock)
    try:
        yield tab
    finally:
        context.close()


def _listen(context: BrowserContext, tab: Tab) -> None:
    context.on("request", lambda request: tab.requests.append(request.url))
    context.on("console", lambda message: tab.heard(message.type, message.text))
    context.on("weberror", lambda error: tab.complaints.append(str(error.error)))
