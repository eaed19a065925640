"""The way in, as `manager.auth` says; and a folder of somebody else's in place of the page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.web.tab import Tab
from tests.web.world import World, world

pytestmark = pytest.mark.slow
OLD_PAGE = """<!DOCTYPE html><title>of before</title><p id="said"></p>
<script src="js/part.js"></script>
<script>
  fetch("/queue/", {headers: {Authorization: "Basic " + btoa("ann:secret")}})
    .then((answer) => answer.json())
    .then((found) => { said.textContent = part + found.map((one) => one.name); });
</script>"""

Make = Callable[..., World]


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(world(tmp_path, **options))


@contextmanager
def proxy_with_cookies(target: str) -> Iterator[str]:
    """Who has no cookie is turned away, but for the page's own files."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            who = self.headers.get("Cookie", "").partition("who=")[2]
            headers = {"X-Auth-User": who} if who else {}
            if not who and not self.path.startswith("/web/"):
                return self.tell(401, b"log in at the proxy", "text/plain")
            found = httpx.request(self.command, target + self.path, headers=headers, trust_env=False)
            return self.tell(found.status_code, found.content, found.headers["content-type"])

        def do_OPTIONS(self) -> None:
            self.do_GET()

        def tell(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Not among the tests' own words."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def proxied(tabs: Any, site: World, user: str | None) -> Tab:
    """As if a proxy in front had authenticated them."""
    headers = {} if user is None else {"X-Auth-User": user}
    return tabs(site, None, extra_http_headers=headers)


def test_with_basic_one_types_name_and_password(tabs, worlds: Make) -> None:
    tab = tabs(worlds(), None)
    tab.open("/#/queue/night")
    expect(tab.page.get_by_label("User name")).to_be_focused()
    tab.page.get_by_label("User name").fill("ann")
    tab.page.get_by_label("Password").fill("secret")
    tab.button("Log in").click()
    tab.sees("night opens at 22:00")
    tab.is_clean()


def test_with_a_header_the_proxys_user_is_in_and_may_what_that_user_may(tabs, worlds: Make) -> None:
    site = worlds(basic=False, header=True)
    tab = proxied(tabs, site, "ann")
    tab.open("/")
    tab.sees("Night renders")
    expect(tab.page.locator("main")).not_to_contain_text("Daytime")
    tab.button("ann").click()
    expect(tab.page.get_by_role("menuitem", name="Keys")).to_be_visible()
    expect(tab.page.get_by_role("menuitem", name="Log out")).to_have_count(0)
    tab.is_clean()


def test_with_a_header_somebody_unknown_is_told_so(tabs, worlds: Make) -> None:
    tab = proxied(tabs, worlds(basic=False, header=True), "nobody")
    tab.open("/")
    tab.sees("batchd does not know you", "through a proxy")
    expect(tab.page.get_by_label("Password")).to_have_count(0)
    tab.is_clean(refusals=(401,))


def test_with_both_who_comes_past_the_proxy_logs_in(tabs, worlds: Make) -> None:
    site = worlds(basic=True, header=True)
    by_proxy = proxied(tabs, site, "eve")
    by_proxy.open("/")
    by_proxy.sees("Night renders")
    by_proxy.is_clean()
    direct = proxied(tabs, site, None)
    direct.open("/")
    direct.page.get_by_label("User name").fill("root")
    direct.page.get_by_label("Password").fill("secret")
    direct.button("Log in").click()
    direct.sees("Daytime")
    direct.is_clean(refusals=(401,))


def test_a_proxy_that_knows_its_people_by_a_cookie_is_sent_it(tabs, worlds: Make) -> None:
    site = worlds(basic=True, header=True, allowed_hosts=("*",))
    with proxy_with_cookies(site.url) as url:
        tab = tabs(site, None)
        tab.page.context.add_cookies([{"name": "who", "value": "ann", "url": url}])
        tab.page.goto(f"{url}/#/queue/night")
        tab.sees("night opens at 22:00")
        expect(tab.button("ann")).to_be_visible()


def test_without_authentication_nobody_logs_in_and_everything_is_offered(tabs, worlds: Make) -> None:
    tab = tabs(worlds(auth_disabled=True), None)
    tab.open("/#/users")
    tab.sees("ann")
    expect(tab.button("New user")).to_be_visible()
    tab.button("no login needed").click()
    expect(tab.page.get_by_role("menuitem", name="Log out")).to_have_count(0)
    tab.is_clean()


def test_another_clients_page_runs_with_its_scripts_and_its_files(tabs, worlds: Make, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    (folder / "js").mkdir(parents=True)
    (folder / "batch.html").write_text(OLD_PAGE)
    (folder / "monitor.html").write_text("<!DOCTYPE html><title>figures of before</title>")
    (folder / "js" / "part.js").write_text("const part = 'queues: ';")
    tab = tabs(worlds(static_path=folder), None)
    tab.open("/")
    expect(tab.page.locator("#said")).to_have_text("queues: night")
    tab.open("/monitor")
    expect(tab.page).to_have_title("figures of before")
