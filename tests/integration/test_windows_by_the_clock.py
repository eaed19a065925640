"""A queue that opens and closes under an injected clock; everything else is real. FAULTS.md: E1 E6 E7."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from batchd_api.db.tables import schedules
from tests.dispatching import Daemon, until
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio


class Clock:
    """Goes on by itself from where it is set."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def set(self, hour: int, minute: int = 0, *, day: int = 0) -> None:
        moment = datetime(2027, 1, 11, hour, minute, tzinfo=UTC) + timedelta(days=day)
        self._ahead = moment - datetime.now(UTC)


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.set(12)
    return clock


@pytest.fixture
async def daemon(prefect_server: PrefectServer, tmp_path: Path, clock: Clock) -> AsyncIterator[Daemon]:
    daemon = Daemon(prefect_server, tmp_path, workers=1, types=[], clock=clock, timezone="UTC")
    with daemon.database.write() as connection:
        time = [{"begin": "22:00:00", "end": "06:00:00"}]
        connection.execute(insert(schedules).values(name="night", weekdays=None, time=time))
    daemon.queue("night", schedule_name="night")
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.close()


async def reason(daemon: Daemon, job_id: int, code: str) -> None:
    await until(lambda: daemon.job(job_id).reason_code == code, f"job {job_id} waits for {code}")


async def test_e1_a_job_of_the_night_waits_at_noon_and_starts_at_23_and_at_5(daemon: Daemon, clock: Clock):
    first = daemon.witness("night")
    await reason(daemon, first, "window")
    assert "22:00" in daemon.job(first).reason_text
    assert daemon.job(first).reason_until == datetime(2027, 1, 11, 22, tzinfo=UTC)
    clock.set(23)
    daemon.wake()
    await daemon.status(first, "Done")
    clock.set(12, day=1)
    second = daemon.witness("night")
    await reason(daemon, second, "window")
    clock.set(5, day=2)
    daemon.wake()
    await daemon.status(second, "Done")


async def test_e6_a_window_that_nobody_saw_starts_nothing_outside_and_the_next_one_works(
    daemon: Daemon, clock: Clock
):
    jobs = [daemon.witness("night", between="sleep 0.2") for _ in range(4)]
    await reason(daemon, jobs[0], "window")
    await daemon.stop()
    clock.set(12, day=1)  # a whole night has gone by
    await daemon.start()
    proof = daemon.witness("default")  # by then it has planned
    await daemon.status(proof, "Done")
    assert daemon.starts() == [proof]
    clock.set(22, day=1)
    daemon.wake()
    await daemon.all_are("Done", jobs)
    assert daemon.starts() == [proof, *jobs]
    assert daemon.most_at_once() == 1


async def test_e7_none_of_those_handed_out_starts_after_the_window_has_closed(daemon: Daemon, clock: Clock):
    clock.set(23)
    gate = daemon.folder / "gate"
    running = daemon.witness("night", between=f"while [ ! -e {gate} ]; do sleep 0.05; done")
    behind = [daemon.witness("night") for _ in range(5)]
    await until(lambda: daemon.starts() == [running], "the first has started")
    clock.set(7, day=1)
    gate.touch()  # one that runs when the window closes runs on, and ends
    await daemon.status(running, "Done")
    for job_id in behind:
        await reason(daemon, job_id, "window")
    await asyncio.sleep(0)
    assert daemon.starts() == [running]
