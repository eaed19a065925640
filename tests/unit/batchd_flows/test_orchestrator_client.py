"""The client against servers that misbehave: nothing of Prefect runs here."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_client import PatientTransport
from batchd_flows.orchestrator_records import (
    End,
    OrchestratorRefused,
    OrchestratorUnavailable,
    RunGone,
    StateType,
)
from batchd_flows.versions import BrokenVersions

pytestmark = pytest.mark.anyio


@contextmanager
def answering(status: int, body: bytes = b"{}", shown: list[str] | None = None) -> Iterator[str]:
    """`shown`: the credentials of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if shown is not None:
                shown.append(self.headers["authorization"])
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.do_POST()

        def do_DELETE(self) -> None:
            self.do_POST()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def orchestrator(api_url: str) -> Orchestrator:
    return Orchestrator(api_url, SecretStr("batchd:x"))


async def test_a_fastapi_that_refuses_nulls_is_named_with_the_pin() -> None:
    with answering(422, b'{"exception_message": "Invalid request received."}') as url:
        async with orchestrator(url) as prefect:
            with pytest.raises(BrokenVersions, match=re.escape("fastapi>=0.139,<0.151")):
                await prefect.probe()


async def test_an_api_key_is_shown_as_a_bearer_token_and_an_auth_string_as_basic() -> None:
    shown: list[str] = []
    with answering(401, shown=shown) as url:
        for made in (Orchestrator(url, None, SecretStr("key")), orchestrator(url)):
            async with made as prefect:
                with pytest.raises(OrchestratorRefused):
                    await prefect.probe()
    assert shown == ["Bearer key", "Basic YmF0Y2hkOng="]


async def test_a_wrong_auth_string_is_refused_and_not_tried_again() -> None:
    with answering(401, b'{"exception_message": "Unauthorized"}') as url:
        async with orchestrator(url) as prefect:
            with pytest.raises(OrchestratorRefused, match="Unauthorized") as refusal:
                await prefect.probe()
    assert refusal.value.status == 401


async def test_a_server_in_trouble_is_unavailable() -> None:
    with answering(500) as url:
        async with orchestrator(url) as prefect:
            with pytest.raises(OrchestratorUnavailable, match="500"):
                await prefect.probe()


async def test_nobody_there_is_unavailable_and_not_healthy() -> None:
    async with orchestrator("http://127.0.0.1:9/api") as prefect:
        with pytest.raises(OrchestratorUnavailable):
            await prefect.probe()
        assert not await prefect.healthy()


async def test_an_answer_that_is_no_answer_is_refused() -> None:
    with answering(200, b'{"surprise": 1}') as url:
        async with orchestrator(url) as prefect:
            with pytest.raises(OrchestratorRefused):
                await prefect.read_run(uuid4())


async def test_what_was_deleted_is_gone() -> None:
    with answering(404) as url:
        async with orchestrator(url) as prefect:
            run_id = uuid4()
            assert await prefect.read_run(run_id) is None
            assert await prefect.read_pool("x") is None
            await prefect.delete_run(run_id)
            with pytest.raises(RunGone) as gone:
                await prefect.report_end(run_id, End(state_type=StateType.FAILED))
    assert gone.value.run_id == run_id


def test_an_end_is_final() -> None:
    with pytest.raises(ValueError, match="no final state"):
        End(state_type=StateType.RUNNING)


def locked(times: int) -> tuple[list[bytes], Callable[[httpx.Request], httpx.Response]]:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(503 if len(seen) <= times else 201)

    return seen, answer


async def test_a_locked_sqlite_is_asked_again_with_the_same_request() -> None:
    seen, answer = locked(3)
    transport = PatientTransport(httpx.MockTransport(answer))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.post("http://x/", json={"transition_id": "a"})).status_code == 201
    assert len(seen) == 4
    assert len(set(seen)) == 1


async def test_patience_with_a_locked_sqlite_ends() -> None:
    seen, answer = locked(1000)
    transport = PatientTransport(httpx.MockTransport(answer), patience_seconds=0.05)
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get("http://x/")).status_code == 503
    assert 1 < len(seen) < 10
