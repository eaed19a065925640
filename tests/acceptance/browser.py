"""Headless Chromium over its DevTools protocol: enough to open a page, read it and take its picture."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.harness import until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--window-size=1300,1330",
)
ANSWER_SECONDS = 60


class Page:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            said = json.loads(self._socket.recv(ANSWER_SECONDS))
            if said.get("id") == number:
                assert "error" not in said, said
                return dict(said["result"])
        raise AssertionError(f"the browser did not answer {method}")

    def before_each_page(self, script: str) -> None:
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def text(self) -> str:
        answer = self.call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
        return str(answer["result"]["value"])

    def wait_for(self, *texts: str) -> None:
        def look() -> bool:
            shown = self.text()
            return all(text in shown for text in texts)

        try:
            until(ANSWER_SECONDS, f"a page with {texts}", look)
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows: {self.text()[:2000]}") from error

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browser() -> Iterator[Page]:
    program = shutil.which("chromium")
    if program is None:
        reason = "chromium is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [str(program), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(_address(Path(profile)), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(20)


def _address(profile: Path) -> str:
    """The websocket of the first page; Chromium writes its port into its profile."""
    file = profile / "DevToolsActivePort"
    port = until(ANSWER_SECONDS, "Chromium's port", lambda: file.exists() and file.read_text().split("\n")[0])

    def look() -> list[str]:
        pages = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        return [str(page["webSocketDebuggerUrl"]) for page in pages if page["type"] == "page"]

    return until(ANSWER_SECONDS, "a page", look)[0]
