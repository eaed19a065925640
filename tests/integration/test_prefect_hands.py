"""What a person does in the Prefect UI, done here by the same API calls: carried out, or put back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType
from pydantic import SecretStr
from sqlalchemy import insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs, queues
from batchd_api.db.upgrade import upgrade
from batchd_api.dispatching import build_dispatching
from batchd_api.parts import Parts
from batchd_api.services.installation import ensure_first_rows
from batchd_api.settings import load_settings
from batchd_api.settings_records import DaemonMode
from batchd_flows.job_types import JobTypes, load_job_types
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_client import prefect_client
from batchd_flows.orchestrator_events import RunChanged, happenings
from batchd_infra.hosts import Hosts
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

LIMIT_SECONDS = 45.0  # a condition that holds within two seconds on an idle machine


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A running dispatcher with its database, and a person's client of Prefect."""

    database: Database
    wake: Callable[[], None]
    prefect: PrefectClient

    def enqueue(self, command: str, *, queue: str = "default", **values: Any) -> int:
        with self.database.write() as connection:
            top = connection.execute(select(jobs.c.seq).order_by(jobs.c.seq.desc()).limit(1)).scalar() or 0
            row = {
                "queue_name": queue,
                "seq": top + 1,
                "type_name": "command",
                "user_name": "alice",
                "create_time": datetime.now(UTC),
                "status": "New",
                "params": {"command": command, "args": ""},
                **values,
            }
            job_id = connection.execute(insert(jobs).values(**row).returning(jobs.c.id)).scalar_one()
        self.wake()
        return int(job_id)

    def job(self, job_id: int) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()

    def queue(self, name: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(queues).where(queues.c.name == name)).one()

    def set_queue(self, name: str, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(queues).where(queues.c.name == name).values(**values))
        self.wake()

    def runs(self, job_id: int) -> list[Any]:
        with self.database.read() as connection:
            query = select(flow_runs).where(flow_runs.c.job_id == job_id, ~flow_runs.c.gone)
            return list(connection.execute(query.order_by(flow_runs.c.attempt, flow_runs.c.number)))

    def starts(self, job_id: int) -> int:
        with self.database.read() as connection:
            return len(list(connection.execute(select(attempts.c.id).where(attempts.c.job_id == job_id))))

    async def run_of(self, job_id: int, shown: str) -> UUID:
        """The id of the newest run of the job, once our books and Prefect agree that it shows this."""

        async def found() -> UUID | None:
            runs = self.runs(job_id)
            if not runs or runs[-1].shown != shown:
                return None
            run_id = UUID(runs[-1].id)
            state = (await self.prefect.read_flow_run(run_id)).state
            return run_id if state and shown in (state.name, state.type.value) else None

        return await until(found, f"a run of job {job_id} that shows {shown}")

    async def set_state(
        self, run_id: UUID, kind: StateType, *, name: str | None = None, **details: Any
    ) -> None:
        state: State[Any] = State(type=kind, name=name, state_details=StateDetails(**details))
        await self.prefect.set_flow_run_state(run_id, state, force=True)

    async def status(self, job_id: int, status: str) -> Any:
        async def reached() -> Any:
            job = self.job(job_id)
            return job if job.status == status else None

        return await until(reached, f"job {job_id} is {status}")

    async def shown(self, run_id: UUID, name: str) -> FlowRun:
        async def reached() -> FlowRun | None:
            run = await self.prefect.read_flow_run(run_id)
            return run if run.state and run.state.name == name else None

        return await until(reached, f"run {run_id} shows {name}")


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if (found := await condition()) is not None:
                return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"did not come: {what}")


@pytest.fixture
async def desk(prefect_server: PrefectServer, tmp_path: Path) -> AsyncIterator[Desk]:
    config = tmp_path / "batchd.yaml"
    config.write_text(f"state_directory: {tmp_path}\ndispatcher:\n  workers: 3\n")
    settings = load_settings(config, MappingProxyType({"HOME": str(tmp_path)})).settings
    database = Database(f"sqlite:///{tmp_path / 'batchd.db'}")
    upgrade(database)
    with database.write() as connection:
        installation_id = ensure_first_rows(connection, datetime.now(UTC))
        connection.execute(
            insert(queues).values(name="shut", title="shut", enabled=False, schedule_name="anytime")
        )
    job_types, _ = load_job_types([])
    parts = Parts(
        settings=settings,
        mode=DaemonMode.DISPATCHER,
        database=database,
        job_types=JobTypes(job_types),
        hosts=Hosts(),
        installation_id=installation_id,
    )
    auth = prefect_server.auth_string
    async with (
        Orchestrator(prefect_server.api_url, SecretStr(auth)) as orchestrator,
        prefect_client(prefect_server.api_url, auth) as prefect,
    ):
        for pool in await prefect.read_work_pools():  # of the test before
            await prefect.delete_work_pool(pool.name)
        dispatching = build_dispatching(parts, orchestrator)
        tasks = dispatching.start()
        try:
            yield Desk(database=database, wake=dispatching.dispatcher.wake, prefect=prefect)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            database.close()


async def test_the_event_stream_tells_of_a_state_at_once(desk: Desk, prefect_server: PrefectServer) -> None:
    """The look at all runs would find it too, seconds later: here it is the stream alone."""
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    told = asyncio.Event()

    async def listen() -> None:
        async for happening in happenings(prefect_server.api_url, SecretStr(prefect_server.auth_string)):
            if isinstance(happening, RunChanged) and happening.state_type == "FAILED":
                assert happening.run_id == run_id
                told.set()

    async def heard() -> bool | None:
        await desk.set_state(run_id, StateType.FAILED)  # again, until the listener is connected
        await asyncio.sleep(0.1)
        return True if told.is_set() else None

    listening = asyncio.create_task(listen())
    try:
        await until(heard, "an event of the state")
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


# A waiting job


async def test_cancelling_a_waiting_run_fails_its_job(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    await desk.set_state(run_id, StateType.CANCELLING)
    job = await desk.status(job_id, "Failed")
    assert job.reason_text == "cancelled in Prefect"
    await desk.shown(run_id, "Cancelled")
    assert desk.starts(job_id) == 0


async def test_pausing_a_waiting_run_postpones_its_job_without_the_uis_timeout(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    soon = datetime.now(UTC) + timedelta(seconds=300)
    await desk.set_state(
        run_id, StateType.PAUSED, name="Suspended", pause_timeout=soon, pause_reschedule=True
    )
    await desk.status(job_id, "Postponed")

    async def rewritten() -> bool | None:
        state = (await desk.prefect.read_flow_run(run_id)).state
        ours = state and state.type is StateType.PAUSED and state.state_details.pause_timeout is None
        return True if ours else None

    await until(rewritten, "a pause without timeout")


async def test_resuming_a_postponed_job_makes_it_new(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut", status="Postponed")
    run_id = await desk.run_of(job_id, "PAUSED")
    await desk.prefect.resume_flow_run(run_id)
    await desk.status(job_id, "New")
    await desk.shown(run_id, "QueueDisabled")


@pytest.mark.parametrize(
    "kind", [StateType.COMPLETED, StateType.FAILED, StateType.RUNNING, StateType.CRASHED]
)
async def test_a19_a_state_by_hand_on_a_waiting_run_is_put_back(desk: Desk, kind: StateType) -> None:
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    await desk.set_state(run_id, kind)
    await desk.shown(run_id, "QueueDisabled")
    assert desk.job(job_id).status == "New"
    assert desk.starts(job_id) == 0


async def test_a19_a_deleted_waiting_run_is_made_again(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    await desk.prefect.delete_flow_run(run_id)

    async def made_again() -> bool | None:
        return True if desk.runs(job_id)[-1].id != str(run_id) else None

    await until(made_again, "another run")
    await desk.run_of(job_id, "QueueDisabled")


async def test_a_renamed_run_gets_its_name_back(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    await desk.prefect.set_flow_run_name(run_id, "something else")

    async def named() -> bool | None:
        return True if (await desk.prefect.read_flow_run(run_id)).name == f"#{job_id} command true" else None

    await until(named, "the old name")


# A running job


async def test_cancelling_a_running_run_ends_the_tree_and_then_shows_cancelled(desk: Desk) -> None:
    job_id = desk.enqueue("sleep 1000")
    run_id = await desk.run_of(job_id, "RUNNING")
    await desk.set_state(run_id, StateType.CANCELLING)
    job = await desk.status(job_id, "Failed")
    assert "cancelled by a person in Prefect" in job.reason_text
    await desk.shown(run_id, "Cancelled")
    assert desk.starts(job_id) == 1


@pytest.mark.parametrize("cancel", [StateType.CANCELLING, StateType.CANCELLED])
async def test_a_cancel_that_our_own_write_stands_over_is_carried_out(
    desk: Desk, prefect_server: PrefectServer, cancel: StateType
) -> None:
    """It came between the claim and Running, which the mirror writes a moment later."""
    job_id = desk.enqueue("sleep 1000")
    run_id = await desk.run_of(job_id, "RUNNING")
    user, password = prefect_server.auth_string.split(":", 1)
    path = f"{prefect_server.api_url}/flow_runs/{run_id}/set_state"
    with httpx.Client(auth=(user, password), timeout=60, trust_env=False) as client:
        for state in (cancel, StateType.RUNNING):  # without awaiting: the mirror sees nothing in between
            body = {"state": {"type": state.value}, "force": True}
            client.post(path, json=body).raise_for_status()
    job = await desk.status(job_id, "Failed")
    assert "cancelled by a person in Prefect" in job.reason_text
    await desk.shown(run_id, "Cancelled")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (StateType.PAUSED, "Suspended"),
        (StateType.COMPLETED, None),
        (StateType.FAILED, None),
        (StateType.SCHEDULED, "AwaitingRetry"),
    ],
)
async def test_a19_a_state_by_hand_on_a_running_run_is_put_back_to_running(
    desk: Desk, tmp_path: Path, kind: StateType, name: str | None
) -> None:
    gate = tmp_path / "gate"
    job_id = desk.enqueue(f"while [ ! -e {gate} ]; do sleep 0.1; done")
    run_id = await desk.run_of(job_id, "RUNNING")
    details = {"scheduled_time": datetime.now(UTC)} if kind is StateType.SCHEDULED else {}
    await desk.set_state(run_id, kind, name=name, **details)
    await desk.shown(run_id, "Running")
    gate.touch()
    await desk.status(job_id, "Done")
    await desk.shown(run_id, "Completed")
    assert desk.starts(job_id) == 1


async def test_a19_a_deleted_running_run_is_made_again_and_shows_running(desk: Desk, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = desk.enqueue(f"while [ ! -e {gate} ]; do sleep 0.1; done")
    run_id = await desk.run_of(job_id, "RUNNING")
    await desk.prefect.delete_flow_run(run_id)

    async def made_again() -> bool | None:
        return True if desk.runs(job_id)[-1].id != str(run_id) else None

    await until(made_again, "another run")
    again = await desk.run_of(job_id, "RUNNING")
    gate.touch()
    await desk.status(job_id, "Done")
    await desk.shown(again, "Completed")
    assert desk.starts(job_id) == 1


# A finished job


async def test_retrying_a_finished_run_runs_the_job_again_in_a_run_of_its_own(desk: Desk) -> None:
    job_id = desk.enqueue("false")
    await desk.status(job_id, "Failed")
    run_id = await desk.run_of(job_id, "FAILED")
    await desk.set_state(run_id, StateType.SCHEDULED, name="AwaitingRetry", scheduled_time=datetime.now(UTC))

    async def tried_again() -> bool | None:
        return True if desk.starts(job_id) == 2 and desk.job(job_id).status == "Failed" else None

    await until(tried_again, "a second attempt")
    assert await desk.run_of(job_id, "FAILED") != run_id
    await desk.shown(run_id, "Failed")


async def test_a_state_by_hand_on_a_finished_run_is_put_back(desk: Desk) -> None:
    job_id = desk.enqueue("true")
    run_id = await desk.run_of(job_id, "COMPLETED")
    await desk.set_state(run_id, StateType.RUNNING)
    await desk.shown(run_id, "Completed")
    assert desk.job(job_id).status == "Done"
    assert desk.starts(job_id) == 1


# Pools and deployments


async def test_a_pool_paused_in_prefect_disables_its_queue_and_resumed_enables_it(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut")
    await desk.run_of(job_id, "QueueDisabled")
    await desk.prefect.update_work_pool("batchd-shut", WorkPoolUpdate(is_paused=False))
    await desk.status(job_id, "Done")
    assert desk.queue("shut").enabled
    await desk.prefect.update_work_pool("batchd-shut", WorkPoolUpdate(is_paused=True))

    async def disabled() -> bool | None:
        return True if not desk.queue("shut").enabled else None

    await until(disabled, "queue shut is disabled")


async def test_a_limit_set_in_prefect_is_the_queues_and_ours_goes_there(desk: Desk) -> None:
    async def limit(wanted: int) -> None:
        async def there() -> bool | None:
            pool = await desk.prefect.read_work_pool("batchd-default")
            return True if pool.concurrency_limit == wanted else None

        await until(there, f"a limit of {wanted}")

    await limit(3)  # as many as there are workers
    desk.set_queue("default", max_jobs=2)
    await limit(2)
    await desk.prefect.update_work_pool("batchd-default", WorkPoolUpdate(concurrency_limit=7))

    async def taken_over() -> bool | None:
        return True if desk.queue("default").max_jobs == 7 else None

    await until(taken_over, "max_jobs 7")


async def test_a_deleted_pool_is_made_again_with_its_runs(desk: Desk) -> None:
    job_id = desk.enqueue("true", queue="shut")
    run_id = await desk.run_of(job_id, "QueueDisabled")
    await desk.prefect.delete_work_pool("batchd-shut")

    async def remade() -> UUID | None:
        runs = desk.runs(job_id)
        if not runs or runs[-1].id == str(run_id):
            return None
        run = await desk.prefect.read_flow_run(UUID(runs[-1].id))
        return run.id if run.work_pool_name == "batchd-shut" else None

    await until(remade, "a run in the pool made anew")
    desk.set_queue("shut", enabled=True)
    await desk.status(job_id, "Done")


async def test_a_run_started_from_a_deployments_form_becomes_a_job(desk: Desk) -> None:
    await desk.status(desk.enqueue("true"), "Done")
    deployment = await desk.prefect.read_deployment_by_name("command/default")
    run = await desk.prefect.create_flow_run_from_deployment(
        deployment.id, parameters={"command": "echo from a form", "args": ""}
    )

    async def taken() -> int | None:
        with desk.database.read() as connection:
            return connection.execute(
                select(flow_runs.c.job_id).where(flow_runs.c.id == str(run.id))
            ).scalar_one_or_none()

    job_id = await until(taken, "a job for the form's run")
    await desk.status(job_id, "Done")
    await desk.shown(run.id, "Completed")
    assert desk.starts(job_id) == 1
    assert desk.job(job_id).params == {"command": "echo from a form", "args": ""}
