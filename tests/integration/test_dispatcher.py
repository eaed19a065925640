"""Dispatcher and mirror with everything real: a database file, a Prefect server, commands.

FAULTS.md: A1 A2 A9 A10 A12 A18 A19 B9 D14 G7 H1 H2 H5 H7.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select

from batchd_api import dispatcher, mirror
from batchd_api.db.tables import attempts, flow_runs, jobs, permissions
from batchd_api.mirror import Mirror
from batchd_api.permissions import Caller, Grant, Right
from batchd_api.recorder import Attempt
from batchd_api.schemas import NewJob, Priority
from batchd_api.services.users import Users, grant
from batchd_api.statuses import JobStatus
from batchd_flows.job_types import COMMAND, OnFail, RetryWhen
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import OrchestratorRefused, RunSpec
from batchd_flows.server_marker import read_marker
from tests.dispatching import ROOT, Daemon, Person, person, until
from tests.ground import quick_passwords
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

WORKERS = 4
TYPES = (
    replace(COMMAND, name="pair", max_jobs=2),
    replace(COMMAND, name="brief", kill_after_seconds=1),
    replace(COMMAND, name="stubborn", on_fail=OnFail(when=RetryWhen.NOW, count=2)),
)


@pytest.fixture
async def daemon(prefect_server: PrefectServer, tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(prefect_server, tmp_path, workers=WORKERS, types=TYPES)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.close()


@pytest.fixture
async def somebody(prefect_server: PrefectServer) -> AsyncIterator[Person]:
    async with person(prefect_server) as client:
        yield Person(client)


@contextmanager
def stopped(server: PrefectServer) -> Iterator[None]:
    """The server is there and answers nothing."""
    marker = read_marker(server.home / "server.json")
    assert marker is not None
    os.kill(marker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(marker.pid, signal.SIGCONT)


def until_told(daemon: Daemon, name: str = "go") -> str:
    """What a job says to run until `tell`."""
    return f"while [ ! -e {daemon.folder / name} ]; do sleep 0.05; done"


def tell(daemon: Daemon, name: str = "go") -> None:
    (daemon.folder / name).touch()


def is_alive(pid: str) -> bool:
    """Not one that only waits to be buried."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


# --- order and limits ---


async def test_h1_twenty_jobs_at_limit_one_run_one_by_one_in_the_order_of_seq(daemon):
    daemon.queue("single", max_jobs=1, enabled=False)
    ids = [daemon.witness("single") for _ in range(20)]
    daemon.change(ids[-1], priority=Priority.FIRST)
    daemon.change(ids[0], priority=Priority.LAST)
    daemon.set_queue("single", enabled=True)
    await daemon.all_are("Done", ids)
    order = [ids[-1], *ids[1:-1], ids[0]]
    assert daemon.witnessed() == [(what, job) for job in order for what in ("start", "end")]


async def test_the_limits_of_queue_type_and_dispatcher_hold_and_all_run_once(daemon):
    daemon.queue("narrow", max_jobs=2)
    narrow = [daemon.witness("narrow", between="sleep 0.2") for _ in range(6)]
    pairs = [daemon.witness(type="pair", between="sleep 0.2") for _ in range(6)]
    plain = [daemon.witness(between="sleep 0.2") for _ in range(6)]
    await daemon.all_are("Done", [*narrow, *pairs, *plain])
    assert sorted(daemon.starts()) == sorted([*narrow, *pairs, *plain])
    assert daemon.most_at_once(*narrow) <= 2
    assert daemon.most_at_once(*pairs) <= 2
    assert daemon.most_at_once() <= WORKERS


async def test_h5_no_job_starts_once_its_queue_was_disabled_and_those_that_run_go_on(daemon):
    running = daemon.witness(between=until_told(daemon))
    await until(lambda: daemon.starts(running), "it runs")
    daemon.set_queue("default", enabled=False)
    waiting = daemon.witness()
    await until(lambda: daemon.job(waiting).reason_code == "queue-disabled", "the reason")
    tell(daemon)
    await daemon.status(running, "Done")
    assert daemon.starts(waiting) == []
    daemon.set_queue("default", enabled=True)
    await daemon.status(waiting, "Done")


# --- what Prefect shows ---


async def test_a_jobs_life_is_its_runs_life(daemon, somebody):
    daemon.set_queue("default", enabled=False)
    job_id = daemon.witness(between=f"echo hello; {until_told(daemon)}")
    await daemon.shown(job_id, "QueueDisabled")
    (run,) = daemon.runs(job_id)
    waiting = await somebody.sees(run.id, "QueueDisabled")
    assert waiting.name.startswith(f"#{job_id} command")
    daemon.set_queue("default", enabled=True)
    await somebody.sees(run.id, "Running")
    tell(daemon)
    ended = await somebody.sees(run.id, "Completed")
    assert ended.start_time is not None
    assert ended.state is not None
    assert ended.state.message == "exit code 0"
    assert daemon.output(job_id) == b"hello\n"


async def test_a_failing_job_is_tried_again_as_often_as_its_type_says(daemon, somebody):
    job_id = daemon.witness(type="stubborn", between="exit 3")
    row = await daemon.status(job_id, "Failed")
    assert (row.try_count, row.reason_text) == (3, "exit code 3")
    await daemon.shown(job_id, "FAILED", "FAILED", "FAILED")
    assert len(daemon.starts(job_id)) == 3
    for run in daemon.runs(job_id):
        await somebody.sees(run.id, "Failed")


async def test_a_job_that_cannot_be_launched_has_failed_with_the_sentence(daemon):
    daemon.set_queue("default", enabled=False)
    job_id = daemon.enqueue("true")
    with daemon.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET type_name = 'removed' WHERE id = {job_id}")
    daemon.set_queue("default", enabled=True)
    row = await daemon.status(job_id, "Failed")
    assert "removed" in row.reason_text


# --- deleted in Prefect, deleted here ---


async def test_a_job_whose_waiting_run_was_deleted_in_prefect_runs_once_in_a_new_one(daemon, somebody):
    daemon.set_queue("default", enabled=False)
    job_id = daemon.witness()
    await daemon.shown(job_id, "QueueDisabled")
    (old,) = daemon.runs(job_id)
    await somebody.deletes(old.id)
    daemon.set_queue("default", enabled=True)  # before anybody could notice
    await daemon.status(job_id, "Done")
    await daemon.shown(job_id, "COMPLETED")
    (new,) = daemon.runs(job_id)
    assert new.id != old.id
    await somebody.sees(new.id, "Completed")
    assert daemon.starts(job_id) == [job_id]


async def test_h7_a_deleted_jobs_tree_ends_and_its_run_is_removed(daemon, somebody):
    pids = daemon.folder / "pids"
    script = f"trap '' TERM; sleep 600 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait; sleep 600"
    job_id = daemon.enqueue(script, type="brief")
    await daemon.shown(job_id, "RUNNING")
    (run,) = daemon.runs(job_id)
    await until(pids.exists, "it says who it is")
    daemon.jobs.delete(ROOT, job_id)
    await until(lambda: daemon.attempts(job_id) == [], "the attempt is gone")
    assert not [pid for pid in pids.read_text().split() if is_alive(pid)]
    await somebody.does_not_see(run.id)
    await until(lambda: daemon.runs(job_id) == [], "the books forget it")


async def test_a_waiting_job_that_is_deleted_takes_its_run_with_it(daemon, somebody):
    daemon.set_queue("default", enabled=False)
    job_id = daemon.witness()
    await daemon.shown(job_id, "QueueDisabled")
    (run,) = daemon.runs(job_id)
    daemon.jobs.delete(ROOT, job_id)
    await somebody.does_not_see(run.id)
    await until(lambda: daemon.runs(job_id) == [], "the books forget it")


async def test_jobs_deleted_at_every_moment_of_their_start_leave_nothing(daemon):
    """A cancel may come between any two steps of a start; none is lost."""
    for pause in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        job_id = daemon.enqueue("sleep 600")
        await asyncio.sleep(pause)
        daemon.jobs.delete(ROOT, job_id)
    await until(
        lambda: daemon.rows(select(func.count()).select_from(attempts))[0][0] == 0, "no attempt is left"
    )
    await until(lambda: daemon.rows(select(flow_runs)) == [], "no run is left")
    folders = daemon.folder / "attempts"
    await until(lambda: list(folders.iterdir()) == [], "no folder is left")


# --- restarts ---


async def test_a_new_dispatcher_finds_the_commands_of_the_one_before(daemon, somebody):
    going_on = daemon.witness(between=f"echo before; {until_told(daemon)}; echo after; exit 7")
    ends_meanwhile = daemon.witness(between=f"{until_told(daemon, 'end')}; echo alone")
    await until(lambda: len(daemon.starts()) == 2, "both run")
    await until(lambda: daemon.output(going_on) == b"before\n", "output is recorded")
    await daemon.stop()
    tell(daemon, "end")
    await until(lambda: ("end", ends_meanwhile) in daemon.witnessed(), "one ends with nobody there")
    waits = daemon.witness()
    await daemon.start()
    assert (await daemon.status(ends_meanwhile, "Done")).attempt == 1
    await daemon.status(waits, "Done")
    tell(daemon)
    row = await daemon.status(going_on, "Failed")
    assert row.reason_text == "exit code 7"
    assert daemon.output(going_on) == b"before\nafter\n"
    assert daemon.output(ends_meanwhile) == b"alone\n"
    assert sorted(daemon.starts()) == sorted([going_on, ends_meanwhile, waits])
    await daemon.shown(going_on, "FAILED")
    await somebody.sees(daemon.runs(going_on)[0].id, "Failed")


async def test_stops_at_any_moment_lose_and_double_nothing(daemon):
    ids = [daemon.witness(between="echo said") for _ in range(24)]
    for pause in (0.05, 0.1, 0.2, 0.3, 0.45, 0.6):
        await asyncio.sleep(pause)
        await daemon.stop()
        await daemon.start()
    await daemon.all_are("Done", ids)
    assert sorted(daemon.starts()) == ids
    assert all(daemon.output(job_id) == b"said\n" for job_id in ids)
    for job_id in ids:
        await daemon.shown(job_id, "COMPLETED")


# --- Prefect is away ---


async def test_a10_a_job_that_ends_while_prefect_hangs_is_done_and_its_run_is_put_right(
    daemon, somebody, prefect_server
):
    job_id = daemon.witness(between=until_told(daemon))
    await daemon.shown(job_id, "RUNNING")
    with stopped(prefect_server):
        tell(daemon)
        await daemon.status(job_id, "Done")
    await daemon.shown(job_id, "COMPLETED")
    await somebody.sees(daemon.runs(job_id)[0].id, "Completed")
    assert daemon.starts(job_id) == [job_id]


async def test_a12_while_prefect_is_gone_jobs_end_and_wait_and_start_once_when_it_is_back(
    daemon, somebody, prefect_server
):
    running = daemon.witness(between=until_told(daemon))
    await daemon.shown(running, "RUNNING")
    await prefect_server.server.stop()
    try:
        early = daemon.witness()
        tell(daemon)
        await daemon.status(running, "Done")
        await until(lambda: daemon.prefect_is_down, "it is noticed")
        late = daemon.witness()
        await until(lambda: daemon.job(late).reason_code == "prefect-down", "the reason")
        assert daemon.starts() == [running]
    finally:
        await prefect_server.server.start()
    await daemon.all_are("Done", [running, early, late])
    for job_id in (running, early, late):
        await daemon.shown(job_id, "COMPLETED")
        await somebody.sees(daemon.runs(job_id)[0].id, "Completed")
        assert daemon.starts(job_id) == [job_id]


@pytest.mark.slow
async def test_b9_an_empty_prefect_is_filled_again_from_the_rows(daemon, somebody, prefect_server):
    done, running = daemon.witness(), daemon.witness(between=until_told(daemon))
    daemon.queue("shut", enabled=False)
    waiting, held = daemon.witness("shut"), daemon.witness("shut", status=JobStatus.POSTPONED)
    await daemon.shown(done, "COMPLETED")
    await daemon.shown(running, "RUNNING")
    await daemon.shown(waiting, "QueueDisabled")
    await daemon.shown(held, "PAUSED")
    before = {run.id for job_id in (running, waiting, held) for run in daemon.runs(job_id)}
    await prefect_server.server.stop()
    for file in prefect_server.home.glob("prefect.db*"):
        file.unlink()
    await prefect_server.server.start()

    def all_new() -> bool:
        runs = [run.id for job_id in (running, waiting, held) for run in daemon.runs(job_id)]
        return len(runs) == 3 and not before & set(runs)

    await until(all_new, "new runs")
    for job_id, name in ((running, "Running"), (waiting, "QueueDisabled"), (held, "Paused")):
        await somebody.sees(daemon.runs(job_id)[0].id, name)
    tell(daemon)
    daemon.set_queue("shut", enabled=True)
    await daemon.all_are("Done", [running, waiting])
    await daemon.shown(running, "COMPLETED")
    await daemon.shown(waiting, "COMPLETED")
    assert sorted(daemon.starts()) == sorted([done, running, waiting])
    names = [run.name.split()[0] for run in await somebody.runs()]
    assert sorted(names) == sorted(f"#{job_id}" for job_id in (running, waiting, held))


async def test_g7_a_job_whose_owner_has_lost_the_right_fails_at_once_and_never_runs(daemon: Daemon) -> None:
    users, right = (
        Users(daemon.database, quick_passwords(), lambda: datetime.now(UTC)),
        Grant(right=Right.CREATE_JOBS),
    )
    users.create("root", "x", superuser=True)
    for name in ("ann", "bob"):
        users.create(name, "x")
        with daemon.database.write() as connection:
            grant(connection, name, right)
    daemon.queue("held", enabled=False)
    mark = daemon.folder / "ran"
    new = NewJob(type="stubborn", params={"command": f"sh -c 'echo $BATCHD_JOB_ID >> {mark}'"})
    lost, kept = (
        daemon.jobs.enqueue(Caller(name=name, grants=(right,)), "held", new) for name in ("ann", "bob")
    )
    with daemon.database.write() as connection:
        connection.execute(delete(permissions).where(permissions.c.user_name == "ann"))
    daemon.set_queue("held", enabled=True)
    await daemon.status(kept, "Done")
    failed = await daemon.status(lost, "Failed")
    assert failed.reason_text.startswith('not permitted: User "ann" lacks the permission CreateJobs')
    assert len(daemon.attempts(lost)) == 1  # no retry would help
    assert mark.read_text() == f"{kept}\n"


# --- Prefect refuses ---


async def test_a_job_whose_run_prefect_refuses_waits_and_says_so_and_holds_up_no_other(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "REFUSED_SECONDS", 1.0)
    monkeypatch.setattr(mirror, "STUCK_SECONDS", 0.5)
    create_run, refusing = Orchestrator.create_run, True

    async def picky(orchestrator: Orchestrator, spec: RunSpec) -> UUID:
        if refusing and spec.name.startswith("#1 "):
            raise OrchestratorRefused(409, "it does not like this one")
        return await create_run(orchestrator, spec)

    monkeypatch.setattr(Orchestrator, "create_run", picky)
    first, second = daemon.witness(), daemon.witness()
    assert first == 1
    await daemon.status(second, "Done")
    await until(lambda: daemon.job(first).reason_until, "the refusal")
    waiting = daemon.job(first)
    assert (waiting.status, waiting.try_count, waiting.reason_code) == ("New", 0, "prefect-down")
    assert "it does not like this one" in waiting.reason_text
    refusing = False
    await daemon.status(first, "Done")
    assert daemon.starts() == [second, first]
    assert [attempt.number for attempt in daemon.attempts(first)] == [1]
    await daemon.shown(first, "COMPLETED")


async def test_a_claim_that_stumbles_holds_up_no_other(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "AGAIN_SECONDS", 0.2)
    claim, stumbling = Mirror._claim, True

    async def stumble(self: Mirror, attempt: Attempt) -> None:
        if stumbling and attempt.job_id == 1:
            raise RuntimeError("a fault of ours")
        await claim(self, attempt)

    monkeypatch.setattr(Mirror, "_claim", stumble)
    first, second = daemon.witness(), daemon.witness()
    await daemon.status(second, "Done")
    assert daemon.job(first).status == "Waiting"
    stumbling = False
    await daemon.status(first, "Done")
    assert daemon.starts() == [second, first]


async def test_two_installations_on_one_server_leave_each_others_jobs_alone(
    daemon: Daemon, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Daemon(prefect_server, tmp_path / "other", workers=1, types=TYPES)
    await other.start()
    try:
        theirs = [other.witness(between=until_told(other)), other.witness()]
        await until(lambda: other.starts() == theirs[:1] and len(other.runs(theirs[1])) == 1, "their runs")
        ours = daemon.witness()  # seen after their events
        await daemon.status(ours, "Done")
        tell(other)
        await other.all_are("Done", theirs)
        assert len(daemon.rows(select(jobs))) == 1
        assert (daemon.starts(), other.starts()) == ([ours], theirs)
    finally:
        await other.close()
