"""A Linode API on loopback: field names and states as the public API's description has them.

Boots and shutdowns take their time, and what is busy refuses. `on_boot` and `on_shutdown` may start and stop
something real, such as an sshd: the machine runs when `on_boot` has returned.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "secret-token-of-the-tests"
Machine = dict[str, Any]
Hook = Callable[[Machine], None]
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,62}[A-Za-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One answer that goes wrong. `done`: the request is carried out all the same, its answer is lost."""

    status: int = 500
    body: bytes = b'{"errors": [{"reason": "Internal Server Error"}]}'
    headers: tuple[tuple[str, str], ...] = ()
    done: bool = False


TOO_MANY = Trouble(
    status=429, body=b'{"errors": [{"reason": "Too many requests"}]}', headers=(("Retry-After", "0"),)
)
NO_JSON = Trouble(status=200, body=b"<html>maintenance</html>")
HALF_JSON = Trouble(status=200, body=b'{"data": [{"id": 1}], "page": 1, "pages": 1}')
LOST = Trouble(status=502, done=True)


class Refused(Exception):
    def __init__(self, status: int, reason: str, at: str | None = None) -> None:
        self.status = status
        self.body = {"errors": [{"reason": reason} | ({"field": at} if at else {})]}


@dataclass
class LinodeServer:
    """`troubles`: (method, part of a path) → what goes wrong with the next such requests."""

    boot_seconds: float = 0.3
    unique_labels: bool = True
    on_boot: Hook = lambda _machine: None
    on_shutdown: Hook = lambda _machine: None
    api_url: str = ""
    machines: dict[int, Machine] = field(default_factory=dict)
    creations: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    troubles: list[tuple[str, str, Trouble]] = field(default_factory=list)
    guard: threading.RLock = field(default_factory=threading.RLock)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1001))
    timers: list[threading.Timer] = field(default_factory=list)

    def add(self, label: str, status: str = "offline", **more: Any) -> Machine:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        with self.guard:
            number = next(self.numbers)
            self.machines[number] = machine = {
                "id": number,
                "label": label,
                "group": "",
                "status": status,
                "created": now,
                "updated": now,
                "type": "g6-nanode-1",
                "region": "us-east",
                "image": None,
                "ipv4": ["127.0.0.1", "192.168.133.7"],
                "ipv6": "2001:db8::1/128",
                "tags": [],
                "hypervisor": "kvm",
                "watchdog_enabled": True,
                "host_uuid": "0" * 40,
                "has_user_data": False,
                "specs": {"disk": 25600, "memory": 1024, "vcpus": 1, "gpus": 0, "transfer": 1000},
                "alerts": dict.fromkeys(("cpu", "io", "network_in", "network_out", "transfer_quota"), 80),
                "backups": {"enabled": False, "available": False, "schedule": {}, "last_successful": None},
                "lke_cluster_id": None,
                "placement_group": None,
                "capabilities": [],
                "disk_encryption": "disabled",
            } | more
            return machine

    def labelled(self, label: str) -> list[Machine]:
        with self.guard:
            return [machine for machine in self.machines.values() if machine["label"] == label]

    def fail(self, method: str, path: str, *troubles: Trouble) -> None:
        self.troubles += [(method, path, trouble) for trouble in troubles]

    def asked(self, method: str, path_end: str) -> int:
        return sum(1 for m, path in self.requests if m == method and path.endswith(path_end))

    def trouble(self, method: str, path: str) -> Trouble | None:
        with self.guard:
            for position, (wanted, part, trouble) in enumerate(self.troubles):
                if wanted == method and part in path:
                    del self.troubles[position]
                    return trouble
        return None

    def answer(self, method: str, path: str, headers: Any, body: dict[str, Any]) -> Any:
        with self.guard:
            self.requests.append((method, path))
            if headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Refused(401, "Invalid Token")
            if path == "/v4/linode/instances":
                return self._list(headers) if method == "GET" else self._create(body)
            match = re.fullmatch(r"/v4/linode/instances/(\d+)(?:/(\w+))?", path)
            if match is None or int(match[1]) not in self.machines:
                raise Refused(404, "Not found")
            return self._one(method, self.machines[int(match[1])], match[2])

    def close(self) -> None:
        for timer in self.timers:
            timer.cancel()

    def _list(self, headers: Any) -> dict[str, Any]:
        wanted = json.loads(headers.get("X-Filter") or "{}")
        found = [m for m in self.machines.values() if all(m[key] == value for key, value in wanted.items())]
        return {"data": found, "page": 1, "pages": 1, "results": len(found)}

    def _create(self, body: dict[str, Any]) -> Machine:
        for key in ("region", "type"):
            if not body.get(key):
                raise Refused(400, f"{key} is required", key)
        if body.get("image") and not body.get("root_pass"):
            raise Refused(400, "root_pass is required", "root_pass")
        label = body.get("label", "")
        if not LABEL.fullmatch(label):
            raise Refused(400, "Must be 3-64 characters", "label")
        if self.unique_labels and self.labelled(label):
            raise Refused(400, "Label must be unique among your linodes", "label")
        self.creations.append(body)
        given = {key: body[key] for key in ("type", "region", "image", "tags") if key in body}
        machine = self.add(label, "provisioning", **given)
        self._later(machine, "provisioning", "running", self.on_boot)
        return dict(machine)

    def _one(self, method: str, machine: Machine, action: str | None) -> Any:
        if method == "GET" and action is None:
            return machine
        if machine["status"] not in ("running", "offline"):
            raise Refused(400, "Linode busy.")
        if method == "DELETE" and action is None:
            return self._later(machine, "deleting", None, self.on_shutdown)
        if method == "POST" and action == "boot":
            if machine["status"] == "running":
                raise Refused(400, "Linode is already booted.")
            return self._later(machine, "booting", "running", self.on_boot)
        if method == "POST" and action == "shutdown":
            return self._later(machine, "shutting_down", "offline", self.on_shutdown)
        raise Refused(404, "Not found")

    def _later(self, machine: Machine, during: str, after: str | None, hook: Hook) -> dict[str, Any]:
        machine["status"] = during

        def finish() -> None:
            hook(machine)
            with self.guard:
                if after is None:
                    self.machines.pop(machine["id"], None)
                else:
                    machine["status"] = after

        timer = threading.Timer(self.boot_seconds, finish)
        timer.daemon = True
        self.timers.append(timer)
        timer.start()
        return {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    machines: LinodeServer

    def handle_any(self) -> None:
        path = self.path.partition("?")[0]
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.machines.trouble(self.command, path)
        status, answer = 200, b"{}"
        if trouble is None or trouble.done:
            try:
                found = self.machines.answer(
                    self.command, path, self.headers, json.loads(text or b"null") or {}
                )
            except Refused as refused:
                status, found = refused.status, refused.body
            answer = json.dumps(found).encode()
        else:
            self.machines.requests.append((self.command, path))
        if trouble is not None:
            status, answer = trouble.status, trouble.body
        self.send_response(status)
        for name, value in trouble.headers if trouble else ():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the base class looks for these

    def log_message(self, *_: Any) -> None:
        """Not to the tests' output."""


@contextmanager
def running_linode(
    *,
    boot_seconds: float = 0.3,
    on_boot: Hook = lambda _machine: None,
    on_shutdown: Hook = lambda _machine: None,
) -> Iterator[LinodeServer]:
    machines = LinodeServer(boot_seconds=boot_seconds, on_boot=on_boot, on_shutdown=on_shutdown)
    handler = type("Handler", (_Handler,), {"machines": machines})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    machines.api_url = f"http://127.0.0.1:{server.server_address[1]}/v4"
    try:
        yield machines
    finally:
        server.shutdown()
        server.server_close()
        machines.close()
