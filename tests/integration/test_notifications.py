"""Messages to a real HTTP server, through Apprise's own `json://`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from batchd_api import notifier
from batchd_api.db.tables import notifications, queues
from batchd_api.notifier import Notifier, is_address
from batchd_api.outbox import Outbox
from batchd_api.recorder import Recorder
from batchd_flows.job_types import OnFail
from batchd_flows.run import Outcome
from tests.facade import running
from tests.ground import NOW, Installation, installation

pytestmark = pytest.mark.anyio


class Hook:
    """Keeps what it is sent; answers with `status`, or not before `go` is set."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append(json.loads(body))
                hook.go.wait(60)
                with suppress(OSError):
                    self.send_response(hook.status)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = SecretStr(f"json://user:s3cret@127.0.0.1:{self.server.server_port}/hook")


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.go.set()
    made.server.shutdown()
    made.server.server_close()
    thread.join(60)


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(f"sqlite:///{tmp_path_factory.mktemp('outbox') / 'batchd.db'}") as made:
        yield made


def failed_job(here: Installation, outbox: Outbox) -> int:
    job_id = here.enqueue()
    here.attempt(job_id, stderr=[b"it broke\n"])
    here.set_job(job_id, status="Processing")
    with here.database.write() as connection:
        connection.execute(update(queues).values(notify=[{"event": "fail", "target": "ops"}]))
    recorder = Recorder(here.database, outbox)
    (attempt,) = recorder.alive("d")
    recorder.ended(attempt, Outcome(exit_code=3, ended_at=NOW), OnFail(), NOW)
    return job_id


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_failure_reaches_its_target_with_the_last_lines_of_output(
    here: Installation, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "LOOK_SECONDS", 0.05)
    outbox = Outbox(here.database, here.ground.job_types, ("ops",), "http://x")
    job_id = failed_job(here, outbox)
    made = Notifier(outbox, {"ops": hook.url}, clock=lambda: NOW)
    running_notifier = asyncio.create_task(made.run())
    await until(lambda: here.count(notifications) == 0)
    running_notifier.cancel()
    (message,) = hook.got
    assert message["title"] == f"batchd: job #{job_id} failed: exit code 3 (command in default)"
    assert message["message"].endswith("it broke")
    assert f"http://x/#/job/{job_id}" in message["message"]


async def test_a_target_that_refuses_is_asked_again(
    here: Installation, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 500
    outbox = Outbox(here.database, here.ground.job_types, ("ops",), "http://x")
    failed_job(here, outbox)
    made = Notifier(outbox, {"ops": hook.url}, clock=lambda: NOW)
    await made.step()
    await made.settle()
    assert here.count(notifications, notifications.c.tries == 1) == 1
    assert "s3cret" not in caplog.text


async def test_a_target_that_never_answers_is_left_after_its_time(
    here: Installation, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "TIMEOUT_SECONDS", 0.3)
    hook.go.clear()
    outbox = Outbox(here.database, here.ground.job_types, ("ops",), "http://x")
    failed_job(here, outbox)
    made = Notifier(outbox, {"ops": hook.url}, clock=lambda: NOW)
    await made.step()
    await made.settle()
    assert here.count(notifications, notifications.c.tries == 1) == 1


def test_rest_takes_shows_and_refuses_wishes(here: Installation) -> None:
    targets = ("ops", "ann")
    with (
        running(here, auth_disabled=True, notify_targets=targets) as facade,
        facade.client(None) as client,
    ):
        job = client.post("/queue/default", json={"type": "command", "notify": "fail,done:ops"}).json()
        assert client.get(f"/job/{job}").json()["notify"] == ["fail:ops", "done:ops"]
        assert client.put(f"/job/{job}", json={"notify": ["long:ann"]}).json() == "done"
        assert client.get(f"/job/{job}").json()["notify"] == ["long:ann"]
        assert client.put("/queue/default", json={"notify": "queue-empty:ops"}).json() == "done"
        assert client.get("/queue/default").json()["notify"] == ["queue-empty:ops"]
        for wrong in ("fail:nobody", "fail", "explode:ops", 5):
            answer = client.post("/queue/default", json={"type": "command", "notify": wrong})
            assert answer.status_code == 400, wrong


@pytest.mark.parametrize(("url", "known"), [("json://localhost", True), ("nonsense://x", False), ("", False)])
def test_addresses_are_known_or_not(url: str, known: bool) -> None:
    assert is_address(url) is known
