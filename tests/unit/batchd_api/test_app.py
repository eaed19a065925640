"""The daemon's own parts: what a Prefect server that does not come up means."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from batchd_api import app
from batchd_api.services.health import OK, ServerState
from batchd_flows.server import PortTaken, ServerDidNotStart


class Reluctant:
    """An embedded server that fails to start a few times."""

    ui_url = "http://127.0.0.1"

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.stopped = False

    async def start(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def ensure_running(self) -> bool:
        return False

    answered = True

    async def stop(self) -> None:
        self.stopped = True


def test_a_server_that_dies_on_its_way_up_is_started_again(monkeypatch):
    monkeypatch.setattr(app, "SERVER_LOOK_SECONDS", 0.01)
    server, state = Reluctant(*[ServerDidNotStart(Path("server.log"), "killed")] * 2), ServerState()

    async def keep() -> None:
        keeping = asyncio.create_task(app._keep_server(server, state))
        async with asyncio.timeout(20):
            while state.sentence() != OK:
                await asyncio.sleep(0.01)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(keep())
    assert server.stopped


def test_a_server_that_misses_a_look_is_said_to_be_away_until_it_answers(monkeypatch):
    monkeypatch.setattr(app, "SERVER_LOOK_SECONDS", 0.01)
    server, state = Reluctant(), ServerState()

    async def keep() -> None:
        keeping = asyncio.create_task(app._keep_server(server, state))
        async with asyncio.timeout(20):
            for answers in (True, False, True):
                server.answered = answers
                while (state.sentence() == OK) is not answers:
                    await asyncio.sleep(0.01)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(keep())


def test_a_stranger_on_its_port_ends_the_daemon_with_its_sentence():
    with pytest.raises(PortTaken):
        asyncio.run(app._keep_server(Reluctant(PortTaken(4200)), ServerState()))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_answer_does_not_wait_for_the_client_to_confirm_what_went_before(host):
    async def accepted_option() -> int:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[socket.socket] = loop.create_future()

        class Accepting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                found.set_result(transport.get_extra_info("socket"))

        listener = app._listener(host, 0)
        async with await loop.create_server(Accepting, sock=listener), asyncio.timeout(20):
            _, client = await asyncio.open_connection(*listener.getsockname()[:2])
            option = (await found).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()
            await client.wait_closed()
        return option

    assert asyncio.run(accepted_option()) == 1
