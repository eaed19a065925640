"""How soon things happen. The best of several: a loaded machine must not fail a test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.states import State

from batchd_api.settings_records import DaemonMode
from tests.dispatching import Daemon, person, until
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

AN_HOUR_SECONDS = 3600.0
TRIES = 5


@pytest.fixture
async def daemon(prefect_server: PrefectServer, tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(prefect_server, tmp_path, workers=2, types=[])
    try:
        yield daemon
    finally:
        await daemon.close()


@pytest.fixture
async def client(prefect_server: PrefectServer) -> AsyncIterator[PrefectClient]:
    async with person(prefect_server) as client:
        yield client


async def best_seconds(act: Callable[[], Awaitable[None]], enough_seconds: float) -> float:
    """Of a few tries; the first that is good enough ends them."""
    best = float("inf")
    for _ in range(TRIES):
        began = time.monotonic()
        await act()
        best = min(best, time.monotonic() - began)
        if best <= enough_seconds:
            break
    return best


async def test_in_one_process_an_enqueue_starts_without_any_poll(daemon: Daemon) -> None:
    """The next look of its own would come in an hour."""
    settings = daemon.parts.settings
    slow = replace(settings.dispatcher, poll_timeout_seconds=AN_HOUR_SECONDS)
    daemon.parts = replace(daemon.parts, settings=replace(settings, dispatcher=slow), mode=DaemonMode.BOTH)
    await daemon.start()
    await daemon.status(daemon.witness(), "Done")  # by then it has planned, and sleeps

    async def start() -> None:
        job_id = daemon.witness()
        await until(lambda: daemon.starts(job_id), "it starts")

    assert await best_seconds(start, 1.0) <= 1.0


async def test_in_two_processes_an_enqueue_starts_within_two_seconds(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells the dispatcher: it finds the row by its own look."""
    await daemon.start()
    await daemon.status(daemon.witness(), "Done")
    monkeypatch.setattr(daemon, "_dispatching", None)  # what would be woken

    async def start() -> None:
        job_id = daemon.witness()
        await until(lambda: daemon.starts(job_id), "it starts")

    assert await best_seconds(start, 2.0) <= 2.0


async def test_a_state_by_hand_is_carried_out_within_two_seconds(
    daemon: Daemon, client: PrefectClient
) -> None:
    daemon.queue("shut", enabled=False)
    await daemon.start()
    ids = [daemon.witness("shut") for _ in range(TRIES)]
    for job_id in ids:
        await daemon.shown(job_id, "QueueDisabled")

    async def cancel() -> None:
        job_id = ids.pop()
        cancelled = State(type=StateType.CANCELLED)
        await client.set_flow_run_state(UUID(daemon.runs(job_id)[0].id), cancelled, force=True)
        await daemon.status(job_id, "Failed")

    assert await best_seconds(cancel, 2.0) <= 2.0


@pytest.mark.slow
async def test_a_deletion_and_a_renaming_by_hand_are_put_right_within_15_seconds(
    daemon: Daemon, client: PrefectClient
) -> None:
    """They are in no event: a look every ten seconds finds them."""
    daemon.queue("shut", enabled=False)
    await daemon.start()
    best = float("inf")
    for _ in range(2):
        deleted, renamed = daemon.witness("shut"), daemon.witness("shut")
        for job_id in (deleted, renamed):
            await daemon.shown(job_id, "QueueDisabled")
        gone, other = (UUID(daemon.runs(job_id)[0].id) for job_id in (deleted, renamed))
        name = (await client.read_flow_run(other)).name
        began = time.monotonic()
        await client.delete_flow_run(gone)
        await client.update_flow_run(other, name="another")
        await until(lambda deleted=deleted, gone=gone: made_again(daemon, deleted, gone), "a new run")
        while (await client.read_flow_run(other)).name != name:
            assert time.monotonic() - began < 60
        best = min(best, time.monotonic() - began)
        if best <= 15.0:
            break
    assert best <= 15.0


def made_again(daemon: Daemon, job_id: int, old: UUID) -> bool:
    return [run for run in daemon.runs(job_id) if run.id != str(old)] != []
