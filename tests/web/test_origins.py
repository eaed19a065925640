"""Pages of other origins call the facade, in a real browser: the allowed one may, a foreign one may not."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.facade import Facade, running
from tests.ground import installation

pytestmark = pytest.mark.slow
TOKEN = "Basic " + base64.b64encode(b"root:secret").decode()

CALL = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return { type: answer.type, status: answer.status, text: await answer.text() };
  } catch (error) {
    return { refused: error.name };
  }
}"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>some page</title>")

    def log_message(self, *_: Any) -> None:
        """Not among the tests' own words."""


@contextmanager
def some_page() -> Iterator[str]:
    """The origin of a page of somebody else."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


@dataclass(frozen=True, kw_only=True)
class Origins:
    facade: Facade
    allowed: Page
    foreign: Page

    def call(self, page: Page, path: str, **options: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.facade.port}{path}"
        return dict(page.evaluate(CALL, [url, options]))


@pytest.fixture(scope="module")
def origins(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origins]:
    url = f"sqlite:///{tmp_path_factory.mktemp('origins') / 'batchd.db'}"
    with ExitStack() as stack:
        allowed, foreign = (stack.enter_context(some_page()) for _ in range(2))
        here = stack.enter_context(installation(url))
        facade = stack.enter_context(running(here, allowed_origins=(allowed,)))
        facade.users.create("root", "secret", superuser=True)
        context = browser.new_context()
        stack.callback(context.close)
        pages = [context.new_page() for _ in range(2)]
        for page, origin in zip(pages, (allowed, foreign), strict=True):
            page.goto(origin)
        yield Origins(facade=facade, allowed=pages[0], foreign=pages[1])


def with_login(**headers: str) -> dict[str, Any]:
    return {"credentials": "include", "headers": {"Authorization": TOKEN} | headers}


def test_an_allowed_page_reads_and_changes_with_its_login(origins: Origins) -> None:
    seen = origins.call(origins.allowed, "/queue", **with_login())
    assert (seen["type"], seen["status"]) == ("cors", 200)
    assert "default" in seen["text"]
    body = '{"type": "command", "params": {"command": "true"}}'
    made = origins.call(
        origins.allowed, "/queue/default", method="POST", body=body,
        **with_login(**{"Content-Type": "application/json"}),
    )  # fmt: skip
    assert made["status"] == 200
    changed = origins.call(
        origins.allowed, f"/job/{made['text']}", method="PUT", body='{"priority": "last"}', **with_login()
    )
    assert (changed["status"], changed["text"]) == (200, '"done"')
    gone = origins.call(origins.allowed, f"/job/{made['text']}", method="DELETE", **with_login())
    assert gone["status"] == 200


def test_an_allowed_page_can_read_why_it_was_refused(origins: Origins) -> None:
    nothing = origins.call(origins.allowed, "/job/999", **with_login())
    assert (nothing["status"], nothing["text"]) == (404, "There is no job 999.")
    stranger = origins.call(origins.allowed, "/queue", headers={"Authorization": "Basic eDp4"})
    assert stranger["status"] == 401
    assert "log in" in stranger["text"]
    wrong = origins.call(origins.allowed, "/queue", method="POST", body="{", **with_login())
    assert wrong["status"] == 400
    assert wrong["text"]


def test_g11_a_foreign_page_reads_nothing(origins: Origins) -> None:
    for options in ({}, with_login()):
        for path in ("/queue", "/job/1", "/gone"):
            assert origins.call(origins.foreign, path, **options) == {"refused": "TypeError"}
    blind = origins.call(origins.foreign, "/health", mode="no-cors")
    assert (blind["type"], blind["status"], blind["text"]) == ("opaque", 0, "")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_g11_a_foreign_page_changes_nothing(origins: Origins, content_type: str) -> None:
    """Plain text needs no preflight: the request itself is refused."""
    before = origins.facade.here.order()
    body = '{"type": "command", "params": {"command": "true"}}'
    for options in (
        with_login(**{"Content-Type": content_type}),
        {"headers": {"Content-Type": content_type}},
    ):
        found = origins.call(origins.foreign, "/queue/default", method="POST", body=body, **options)
        assert found == {"refused": "TypeError"}
    blind = origins.call(origins.foreign, "/queue/default", method="POST", body=body, mode="no-cors")
    assert blind["type"] == "opaque"
    assert origins.facade.here.order() == before


def test_g11_a_foreign_page_cannot_show_ours_in_a_frame(origins: Origins) -> None:
    url = f"http://127.0.0.1:{origins.facade.port}/"
    origins.foreign.evaluate(
        "url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f); }", url
    )
    origins.foreign.wait_for_timeout(300)
    texts = [frame.evaluate("document.body?.innerText ?? ''") for frame in origins.foreign.frames[1:]]
    assert not any("User name" in text for text in texts)
