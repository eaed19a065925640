"""The facade behind a real HTTP server on a free port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn

from batchd_api.facade import FacadeParts, create_facade
from batchd_api.options import FacadeOptions
from batchd_api.services.users import Users
from batchd_api.slow_clients import TimelyProtocol
from tests.ground import Installation, quick_passwords


def options(**fields: Any) -> FacadeOptions:
    return FacadeOptions(timezone=ZoneInfo("UTC"), **fields)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals are pytest's."""


class Facade:
    """A running facade; `client()` talks to it as a user."""

    def __init__(self, here: Installation, app: Any, port: int) -> None:
        self.here = here
        self.app = app
        self.port = port
        self.users = Users(here.database, quick_passwords(), here.ground.clock)

    def client(self, name: str | None = "root", password: str = "secret", **fields: Any) -> httpx.Client:
        auth = None if name is None else httpx.BasicAuth(name.encode(), password.encode())
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=auth, trust_env=False, **fields)


@contextmanager
def running(here: Installation, **fields: Any) -> Iterator[Facade]:
    parts = FacadeParts(
        options=options(**fields),
        database=here.database,
        job_types=here.ground.job_types,
        hosts=here.ground.hosts,
        clock=here.ground.clock,
        changed=here.ground.changed,
        passwords=quick_passwords(),
    )
    app = create_facade(parts)
    config = uvicorn.Config(
        app,
        http=TimelyProtocol,
        host="127.0.0.1",
        port=0,
        log_level="error",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
    )
    server = _Server(config)
    started = threading.Event()

    async def serve() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        started.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Facade(here, app, port)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def enqueue(client: httpx.Client, queue: str, **fields: Any) -> int:
    answer = client.post(f"/queue/{queue}", json={"type": "command"} | fields)
    assert answer.status_code == 200, answer.text
    return int(answer.json())


def is_sentence(answer: httpx.Response) -> bool:
    """An error as people see it: one line of text."""
    is_text = answer.headers["content-type"] == "text/plain; charset=utf-8"
    return is_text and bool(answer.text) and "\n" not in answer.text


def raw(facade: Facade, request: bytes) -> bytes:
    """What comes back for bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", facade.port), timeout=60) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))
