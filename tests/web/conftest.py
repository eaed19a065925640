"""One browser and one facade a module; a tab of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.tab import Tab, chromium, opened
from tests.web.world import World, world


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that change nothing."""
    with world(tmp_path_factory.mktemp("web")) as shared:
        yield shared


@pytest.fixture
def own(tmp_path: Any) -> Iterator[World]:
    """The test's own, to be changed."""
    with world(tmp_path) as own:
        yield own


@pytest.fixture
def tabs(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tab]]:
    if "own" in request.fixturenames:
        request.getfixturevalue("own")  # a facade waits for its streams: it goes after the tabs
    with ExitStack() as stack:
        yield lambda world, user, **fields: stack.enter_context(opened(browser, world, user, **fields))
