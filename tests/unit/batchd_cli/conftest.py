"""A tiny real HTTP server that plays recorded contract answers, and `batch` run against it."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from batchd_cli.common import Common
from batchd_cli.main import cli
from batchd_cli.running import run

BATCH = Path(sys.executable).with_name("batch")
INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Before a program that gets Ctrl-C: tests that run in the background inherit that it is ignored."""

QUEUE = {
    "name": "night",
    "title": "Long nights",
    "enabled": True,
    "schedule_name": "nightly",
    "host_name": None,
    "autostart_job_count": None,
    "max_jobs": None,
}
JOB = {
    "id": 17,
    "queue": "night",
    "type": "command",
    "seq": 3,
    "user_name": "anna",
    "create_time": "2026-11-24T03:01:43.544300Z",
    "start_time": None,
    "status": "New",
    "try_count": 0,
    "host_name": None,
    "notes": None,
    "result_time": None,
    "exit_code": None,
    "stdout": None,
    "stderr": None,
    "params": {"command": "echo", "args": "hello world"},
}
COMMAND_TYPE = {
    "name": "command",
    "title": "Any command",
    "syntax": "Shell",
    "template": ["$command $args"],
    "on_fail": {"retry": {"when": "later", "count": 2}},
    "host_name": None,
    "max_jobs": None,
    "params": [
        {"name": "command", "type": "String", "title": "Command", "default": ""},
        {"name": "args", "type": "String", "title": "Arguments", "default": ""},
    ],
}


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    body: Any
    headers: dict[str, str]
    connection: int


@dataclass
class Manager:
    """The server: what it answers by (method, raw path), and what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, str | bytes]] = field(default_factory=dict)
    coming: dict[tuple[str, str], list[object]] = field(default_factory=dict)
    streams: dict[str, list[list[str]]] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def answer(self, method: str, path: str, body: object, status: int = 200) -> None:
        """JSON for a success, a sentence of plain text for an error, bytes as they are."""
        text = body if isinstance(body, bytes) else json.dumps(body) if status == 200 else str(body)
        self.answers[method, path] = status, text

    def answer_in_turn(self, method: str, path: str, *bodies: object) -> None:
        """One after the other, the last one for ever; a pair is a status and a sentence."""
        self.coming[method, path] = list(bodies)

    def stream(self, number: int, *connections: list[str]) -> None:
        """The events of a job, written as they stand: one list a connection, cut after its last one."""
        self.streams[f"/job/{number}/stream"] = list(connections)

    def next_answer(self, key: tuple[str, str]) -> tuple[int, str | bytes]:
        if coming := self.coming.get(key):
            body = coming.pop(0) if len(coming) > 1 else coming[0]
            return body if isinstance(body, tuple) else (200, json.dumps(body))
        return self.answers.get(key, (404, f"no such path: {key[1]}"))

    def respond(self, key: tuple[str, str], asked: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and bytes; a range is always the last byte, as the client asks for it."""
        status, text = self.next_answer(key)
        data = text if isinstance(text, bytes) else text.encode()
        headers = {"Content-Type": f"{'application/json' if status == 200 else 'text/plain'}; charset=utf-8"}
        if etag := self.etags.get(key[1]):
            headers["ETag"] = etag
            if asked.get("If-None-Match") == etag:
                return 304, headers, b""
        if "Range" in asked and status == 200:
            headers["Content-Range"] = (
                f"bytes {len(data) - 1}-{len(data) - 1}/{len(data)}" if data else "bytes */0"
            )
            return (206, headers, data[-1:]) if data else (416, headers, b"")
        return status, headers, data

    def asked(self) -> list[tuple[str, str, Any]]:
        """The requests but for the look at the authentication methods."""
        return [(one.method, one.path, one.body) for one in self.requests if one.method != "OPTIONS"]


def _handler(manager: Manager) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            key = (self.command, self.path)
            manager.requests.append(
                Request(
                    method=self.command,
                    path=self.path,
                    body=body,
                    headers=dict(self.headers.items()),
                    connection=self.client_address[1],
                )
            )
            if self.path in manager.streams:
                self.play(manager.streams[self.path])
                return
            status, headers, data = manager.respond(key, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def play(self, connections: list[list[str]]) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in connections.pop(0) if len(connections) > 1 else connections[0]:
                self.wfile.write(f"{event}\n\n".encode())
                self.wfile.flush()

        do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


@contextmanager
def playing() -> Iterator[Manager]:
    """A manager without authentication until a test says otherwise."""
    played = Manager()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(played))
    played.url = f"http://127.0.0.1:{server.server_port}"
    played.answer("OPTIONS", "/", [])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield played
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def manager() -> Iterator[Manager]:
    with playing() as played:
        yield played


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home, a known user and zone, and no BATCH_* of the one who runs the tests."""
    for name in [name for name in os.environ if name.startswith("BATCH")]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "LOGNAME": "anna", "TZ": "Europe/Berlin"}.items():
        monkeypatch.setenv(name, value)
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


def output_event(text: str, *, stream: str = "stdout", offset: int = 0, attempt: int = 1) -> str:
    data = {"attempt": attempt, "stream": stream, "offset": offset, "text": text}
    return f"id: {attempt}-{offset}-{stream}\nevent: output\ndata: {json.dumps(data)}"


def status_event(
    status: str, *, attempt: int = 1, exit_code: int | None = None, reason: object = None
) -> str:
    data = {"status": status, "attempt": attempt, "exit_code": exit_code, "reason": reason}
    return f"id: {attempt}-{status}\nevent: status\ndata: {json.dumps(data)}"


END_EVENT = "event: end\ndata: {}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: int
    out: str
    err: str


Batch = Callable[..., Outcome]


@pytest.fixture
def batch(
    manager: Manager, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Batch:
    """`batch("job", "17")`: the command line in this process, against the played manager."""
    monkeypatch.setenv("BATCH_MANAGER_URL", manager.url)

    def call(*arguments: str, common: Common | None = None) -> Outcome:
        capsys.readouterr()
        code = run(cli, arguments, common)
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return call
