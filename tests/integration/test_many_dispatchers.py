"""Order and limits where several act at once: dispatchers, people, deletions. FAULTS.md: H3 H4 H6."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import State
from sqlalchemy import func, select

from batchd_api.db.tables import IS_ALIVE, attempts, flow_runs, jobs, output, permissions, queues, schedules
from batchd_api.permissions import Grant, Right
from batchd_api.schemas import NewSchedule
from batchd_api.services.ground import Ground
from batchd_api.services.queues import Queues
from batchd_api.services.schedules import Schedules
from batchd_api.services.users import Users, grant
from tests.dispatching import ROOT, Daemon, person, until
from tests.ground import quick_passwords
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

SAMPLE_SECONDS = 0.05


class Second(Daemon):
    """Another dispatcher of the same installation, with a folder of its own."""

    def __init__(self, first: Daemon, folder: Path, *, workers: int) -> None:
        super().__init__(first.server, folder, workers=workers, types=[])
        self.database.close()
        self.database = first.database
        installation_id = first.parts.installation_id
        self.parts = replace(self.parts, database=first.database, installation_id=installation_id)


@pytest.fixture
async def daemon(prefect_server: PrefectServer, tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(prefect_server, tmp_path, workers=4, types=[])
    try:
        yield daemon
    finally:
        await daemon.close()


@pytest.fixture
def ground(daemon: Daemon) -> Ground:
    """What the services stand on."""
    return daemon.jobs._ground


def living(daemon: Daemon, queue: str) -> int:
    query = select(func.count()).where(attempts.c.queue_name == queue, IS_ALIVE)
    return int(daemon.rows(query)[0][0])


def ended(daemon: Daemon) -> int:
    return int(daemon.rows(select(func.count()).where(jobs.c.status == "Done"))[0][0])


@pytest.mark.slow
async def test_h3_two_dispatchers_start_100_jobs_once_each_and_never_pass_the_limit(
    daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = Second(daemon, tmp_path / "second", workers=4)
    daemon.queue("narrow", max_jobs=6, enabled=False)
    ids = [daemon.witness("narrow") for _ in range(100)]
    samples: list[tuple[int, int]] = []

    def running_and_held() -> tuple[int, int]:
        said = daemon.witnessed()
        return sum(1 if what == "start" else -1 for what, _ in said), living(daemon, "narrow")

    async def sample() -> None:
        while True:
            samples.append(await asyncio.to_thread(running_and_held))
            await asyncio.sleep(SAMPLE_SECONDS)

    await daemon.start()
    await second.start()
    sampling = asyncio.create_task(sample())
    try:
        daemon.set_queue("narrow", enabled=True)
        for count in range(10, len(ids) + 1, 10):  # each ten have their time, on a slow machine too
            await until(lambda count=count: ended(daemon) >= count, f"{count} are done")
    finally:
        sampling.cancel()
        await second.stop()
    assert set(daemon.statuses(ids).values()) == {"Done"}
    assert sorted(daemon.starts()) == ids
    assert daemon.most_at_once() <= 6
    assert max(running for running, _ in samples) <= 6
    assert max(held for _, held in samples) <= 6
    by = daemon.rows(select(attempts.c.dispatcher, func.count()).group_by(attempts.c.dispatcher))
    assert len(by) == 2, "both had a part in it"
    assert sum(count for _, count in by) == len(ids)


async def test_h4_a_run_that_somebody_else_claimed_first_stops_no_dispatcher(
    daemon: Daemon, prefect_server: PrefectServer
) -> None:
    """Prefect answers the claim with ABORT; the row decides, and the next jobs follow."""
    daemon.queue("raced", max_jobs=1, enabled=False)
    ids = [daemon.witness("raced") for _ in range(3)]
    await daemon.start()
    for job_id in ids:
        await daemon.shown(job_id, "QueueDisabled")
    async with person(prefect_server) as client:
        for job_id in ids:
            pending = State(type=StateType.PENDING)  # as an engine that was started by hand does
            await client.set_flow_run_state(UUID(daemon.runs(job_id)[0].id), pending)
    daemon.set_queue("raced", enabled=True)
    later = daemon.witness("raced")
    await daemon.all_are("Done", [*ids, later])
    assert daemon.starts() == [*ids, later]
    for job_id in (*ids, later):
        await daemon.shown(job_id, "COMPLETED")


async def nothing_is_left(daemon: Daemon, *queue_names: str) -> None:
    """No row speaks of what was deleted; trees and runs end behind the answer."""
    for table in (attempts, flow_runs, output):
        query = select(table.c.job_id).where(table.c.job_id.not_in(select(jobs.c.id)))
        await until(lambda query=query: daemon.rows(query) == [], f"no row of {table.name} is left")
    for column in (jobs.c.queue_name, permissions.c.queue_name, queues.c.name):
        assert daemon.rows(select(column).where(column.in_(queue_names))) == []
    folders = daemon.folder / "attempts"
    await until(lambda: list(folders.iterdir()) == [], "no folder is left")


@pytest.mark.parametrize("what", ["queue", "schedule"])
async def test_h6_a_queue_or_schedule_that_is_deleted_by_force_ends_its_jobs_and_leaves_no_rows(
    daemon: Daemon, ground: Ground, prefect_server: PrefectServer, what: str
) -> None:
    users = Users(daemon.database, quick_passwords(), daemon.clock)
    users.create("root", "x", superuser=True)
    users.create("ann", "x")
    Schedules(ground).create(NewSchedule(name="day", weekdays=None, time=None))
    daemon.queue("doomed", schedule_name="day", max_jobs=2)
    with daemon.database.write() as connection:
        grant(connection, "ann", Grant(right=Right.VIEW_JOBS, queue_name="doomed"))
    await daemon.start()
    running = [daemon.witness("doomed", between="echo said; sleep 600") for _ in range(2)]
    waiting, stays = daemon.witness("doomed"), daemon.witness()
    for job_id in running:
        await daemon.shown(job_id, "RUNNING")
        await until(lambda job_id=job_id: daemon.output(job_id), "output is recorded")
    await daemon.status(stays, "Done")
    seen = [run.id for job_id in (*running, waiting) for run in daemon.runs(job_id)]
    if what == "queue":
        Queues(ground).delete(ROOT, "doomed", forced=True)
    else:
        Schedules(ground).delete(ROOT, "day", forced=True)
        assert daemon.rows(select(schedules).where(schedules.c.name == "day")) == []
    daemon.wake()
    await nothing_is_left(daemon, "doomed")
    assert [job for kind, job in daemon.witnessed() if kind == "end"] == [stays]
    assert daemon.starts(waiting) == []
    async with person(prefect_server) as client:
        left = {str(run.id) for run in await client.read_flow_runs(limit=200)}
        assert not left & set(seen)
    assert daemon.job(stays).status == "Done"


async def test_h6_jobs_of_a_host_or_type_whose_file_is_gone_wait_or_fail_in_a_sentence(
    daemon: Daemon,
) -> None:
    """One that runs goes on; nothing of the others is lost."""
    gate = daemon.folder / "gate"
    await daemon.start()
    running = daemon.witness(between=f"while [ ! -e {gate} ]; do sleep 0.05; done")
    await until(lambda: daemon.starts() == [running], "it runs")
    no_host, no_type = daemon.witness(), daemon.witness()
    daemon.set_queue("default", enabled=False)
    with suppress(IndexError), daemon.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET host_name = 'gone' WHERE id = {no_host}")
        connection.exec_driver_sql(f"UPDATE jobs SET type_name = 'gone' WHERE id IN ({no_type}, {running})")
    daemon.set_queue("default", enabled=True)
    gate.touch()
    await daemon.status(running, "Done")
    assert "gone" in (await daemon.status(no_type, "Failed")).reason_text
    await until(lambda: daemon.job(no_host).reason_code == "host-failed", "the reason")
    assert "gone" in daemon.job(no_host).reason_text
    daemon.jobs.delete(ROOT, no_host)
    await nothing_is_left(daemon)
