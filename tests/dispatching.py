"""A dispatcher and its mirror in the test's own event loop, with a real database file and a real Prefect."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr
from sqlalchemy import insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, jobs, queues
from batchd_api.db.upgrade import upgrade
from batchd_api.dispatching import Dispatching, build_dispatching
from batchd_api.hosting import HostPace
from batchd_api.parts import Parts
from batchd_api.permissions import SUPERUSER, Caller
from batchd_api.schemas import JobChange, NewJob
from batchd_api.services.ground import Ground
from batchd_api.services.installation import ensure_first_rows
from batchd_api.services.jobs import Jobs
from batchd_api.settings import load_settings
from batchd_api.settings_records import DaemonMode
from batchd_flows.job_types import COMMAND, JobType, JobTypes
from batchd_flows.local_machine import LocalMachine
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_client import prefect_client
from batchd_infra.controller import Controller
from batchd_infra.controllers import Controllers
from batchd_infra.hosts import Host, Hosts
from tests.prefect_server import PrefectServer
from tests.records import Records, witness_script

ROOT = Caller(name="root", grants=SUPERUSER)
LIMIT_SECONDS = 60.0


async def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition that may need an answer; fail with what never came."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it never came: {what}"
        await asyncio.sleep(0.05)
    return found


class Daemon(Records):
    """`start` and `stop` as often as wanted: the same name, database and folders each time."""

    def __init__(
        self,
        server: PrefectServer,
        folder: Path,
        *,
        workers: int,
        types: Sequence[JobType],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timezone: str | None = None,
        hosts: Sequence[Host] = (),
        controllers: Sequence[Controller] = (),
        host_pace: HostPace | None = None,
        database_url: str | None = None,
    ) -> None:
        """`database_url` None: a file in the folder."""
        self.host_pace = host_pace
        self.server = server
        self.folder = folder
        self.clock = clock
        self.enqueued: list[int] = []
        self.database = Database(database_url or f"sqlite:///{folder / 'batchd.db'}")
        upgrade(self.database)
        with self.database.write() as connection:
            installation_id = ensure_first_rows(connection, datetime.now(UTC))
        config = folder / "batchd.yaml"
        config.write_text(f"state_directory: {folder}\ndispatcher:\n  workers: {workers}\n")
        if timezone:
            config.write_text(f"{config.read_text()}timezone: {timezone}\n")
        settings = load_settings(config, MappingProxyType({"HOME": str(folder)})).settings
        self.parts = Parts(
            settings=settings,
            mode=DaemonMode.DISPATCHER,
            database=self.database,
            job_types=JobTypes([COMMAND, *types]),
            hosts=Hosts(hosts),
            controllers=Controllers(controllers),
            installation_id=installation_id,
        )
        self.ground = Ground(
            database=self.database,
            job_types=self.parts.job_types,
            hosts=self.parts.hosts,
            zone=settings.timezone,
            clock=clock,
            changed=self._wake,
        )
        self.jobs = Jobs(self.ground)
        self._stack: AsyncExitStack | None = None
        self._dispatching: Dispatching | None = None
        self._tasks: list[asyncio.Task[object]] = []

    async def start(self) -> None:
        self._stack = AsyncExitStack()
        auth = SecretStr(self.server.auth_string)
        orchestrator = await self._stack.enter_async_context(Orchestrator(self.server.api_url, auth))
        self._dispatching = build_dispatching(
            self.parts, orchestrator, clock=self.clock, host_pace=self.host_pace
        )
        self._tasks = self._dispatching.start()

    async def close(self) -> None:
        """Nothing of it goes on, commands included."""
        await self.stop()
        for attempt in self.rows(select(attempts).where(attempts.c.state != "ended")):
            folder = self.folder / "attempts" / f"{attempt.job_id}.{attempt.number}"
            await asyncio.to_thread(LocalMachine().cancel, folder, grace_seconds=0)
        self.database.close()

    async def stop(self) -> None:
        """As the composition root does it: commands go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._dispatching, self._tasks = None, []
        if self._stack is not None:
            await self._stack.aclose()
            self._stack = None

    def wake(self) -> None:
        """As a change of a row does."""
        self._wake()

    def _wake(self) -> None:
        if self._dispatching is not None:
            self._dispatching.dispatcher.wake()

    @property
    def prefect_is_down(self) -> bool:
        return self._dispatching is not None and self._dispatching.mirror.reach.down is not None

    # What people ask for

    def enqueue(self, script: str, queue: str = "default", **fields: Any) -> int:
        params = {"command": f"sh -c {shlex.quote(script)}"}
        new = NewJob(**({"type": "command", "params": params} | fields))
        self.enqueued.append(self.jobs.enqueue(ROOT, queue, new))
        return self.enqueued[-1]

    def witness(self, queue: str = "default", *, between: str = "", **fields: Any) -> int:
        """A job that says in a file when it starts and ends."""
        return self.enqueue(witness_script(self.witness_file, between), queue, **fields)

    def queue(self, name: str, **fields: Any) -> str:
        row = {"name": name, "title": name, "enabled": True, "schedule_name": "anytime"} | fields
        with self.database.write() as connection:
            connection.execute(insert(queues).values(row))
        self._wake()
        return name

    def set_queue(self, name: str, **fields: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(queues).where(queues.c.name == name).values(**fields))
        self._wake()

    def change(self, job_id: int, **fields: Any) -> None:
        self.jobs.change(ROOT, job_id, JobChange(**fields))

    # What came of it

    async def status(self, job_id: int, status: str) -> Any:
        await until(lambda: self.job(job_id).status == status, f"job {job_id} is {status}")
        return self.job(job_id)

    async def all_are(self, status: str, job_ids: Sequence[int]) -> None:
        query = select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.status == status)
        await until(lambda: len(self.rows(query)) == len(job_ids), f"{len(job_ids)} jobs are {status}")

    async def shown(self, job_id: int, *shown: str) -> None:
        """The job's runs show these, as the books say."""
        wanted = list(shown)
        await until(
            lambda: [run.shown for run in self.runs(job_id)] == wanted, f"job {job_id} shows {wanted}"
        )


class Person:
    """Somebody at the Prefect UI: what it does and sees, by its API."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def run(self, run_id: str) -> FlowRun | None:
        try:
            return await self._client.read_flow_run(UUID(run_id))
        except ObjectNotFound:
            return None

    async def sees(self, run_id: str, state_name: str) -> FlowRun:
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            run = await self.run(run_id)
            if run is not None and run.state_name == state_name:
                return run
            assert time.monotonic() < deadline, f"it shows {run and run.state_name}, not {state_name}"
            await asyncio.sleep(0.1)

    async def does_not_see(self, run_id: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while await self.run(run_id) is not None:
            assert time.monotonic() < deadline, "the run is still there"
            await asyncio.sleep(0.1)

    async def deletes(self, run_id: str) -> None:
        await self._client.delete_flow_run(UUID(run_id))

    async def runs(self) -> list[FlowRun]:
        found: list[FlowRun] = []
        while page := await self._client.read_flow_runs(limit=200, offset=len(found)):
            found += page
        return found


def person(server: PrefectServer) -> PrefectClient:
    return prefect_client(server.api_url, server.auth_string)
