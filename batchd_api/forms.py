"""Runs that no row knows: made by a person in a deployment's form, or by a cron on it. They become jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import Select, func, insert, select

from batchd_api.books import Books
from batchd_api.db.session import Database
from batchd_api.db.tables import flow_runs, jobs, permissions, queues
from batchd_api.reconcile import Create, reconcile
from batchd_api.respond import UNKNOWN
from batchd_api.statuses import JobStatus
from batchd_flows.job_types import JobTypeNotFound, JobTypes, ParameterError, resolve_params
from batchd_flows.names import pool_name
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import End, Gone, RunView, StateType

log = logging.getLogger("batchd.prefect")

NOBODY = "prefect"  # owns such jobs where there is no superuser and prefect.user says nothing


class Forms:
    """`user` owns the jobs; None: the first superuser."""

    def __init__(
        self,
        database: Database,
        orchestrator: Orchestrator,
        job_types: JobTypes,
        *,
        installation_id: str,
        variables: Mapping[str, str],
        user: str | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._books = Books(database)
        self._orchestrator = orchestrator
        self._job_types = job_types
        self._key = f"batchd:{installation_id}:"
        self._variables = variables
        self._user = user
        self._clock = clock

    async def take(self, seen: RunView) -> bool:
        """Make a job of it when it is due. True: there is a new one."""
        if seen.idempotency_key and seen.idempotency_key.startswith(self._key):
            await self._remove_leftover(seen)
            return False
        if (seen.idempotency_key or "").startswith("batchd:"):
            return False  # a job of another installation on the same server
        if seen.state_type is not StateType.SCHEDULED or (
            seen.expected_start_time and seen.expected_start_time > self._clock()
        ):
            return False
        queue_name = await asyncio.to_thread(self._queue_of, seen)
        if queue_name is None:
            return False  # some other installation's
        type_name = _tag(seen, "type:") or ""
        try:
            job_type = self._job_types.get(type_name)
            given = {name: _text(value) for name, value in seen.parameters.items()}
            params = resolve_params(job_type, given, variables=self._variables)
        except (JobTypeNotFound, ParameterError) as error:
            with suppress(Gone):
                refusal = End(state_type=StateType.FAILED, message=f"refused: {error}")
                await self._orchestrator.report_end(seen.id, refusal, force=True)
            return False
        return await asyncio.to_thread(self._enqueue, seen, queue_name, job_type.name, params)

    async def _remove_leftover(self, seen: RunView) -> None:
        """One of ours whose making was answered to nobody. What is still wanted, the mirror finds."""
        key = (seen.idempotency_key or "").removeprefix(self._key).split(":")
        if len(key) != 3 or not all(part.isdigit() for part in key):
            return
        if not await asyncio.to_thread(self._is_wanted, *map(int, key)):
            with suppress(Gone):
                await self._orchestrator.delete_run(seen.id)

    def _is_wanted(self, job_id: int, attempt: int, number: int) -> bool:
        """Not of a job that was deleted, nor of one that was moved or taken before its run was noted."""
        entry = self._books.entry(job_id)
        if entry is None:
            return False
        return Create(attempt=attempt, number=number) in reconcile(entry.row, entry.runs)

    def _queue_of(self, seen: RunView) -> str | None:
        with self._database.read() as connection:
            names = connection.execute(select(queues.c.name)).scalars().all()
        return next((name for name in names if pool_name(name) == seen.pool_name), None)

    def _enqueue(self, seen: RunView, queue_name: str, type_name: str, params: Mapping[str, str]) -> bool:
        """Job and link in one transaction, so that the same run never becomes two jobs."""
        with self._database.write() as connection:
            if connection.execute(select(flow_runs.c.id).where(flow_runs.c.id == str(seen.id))).first():
                return False
            last = select(func.coalesce(func.max(jobs.c.seq), 0)).where(jobs.c.queue_name == queue_name)
            owner = self._user or connection.execute(_first_superuser()).scalar() or NOBODY
            job_id = connection.execute(
                insert(jobs)
                .values(
                    queue_name=queue_name,
                    seq=last.scalar_subquery() + 1,
                    type_name=type_name,
                    user_name=owner,
                    create_time=self._clock(),
                    status=JobStatus.NEW,
                    params=dict(params),
                )
                .returning(jobs.c.id)
            ).scalar_one()
            link = {"job_id": job_id, "attempt": 1, "number": 1, "queue_name": queue_name, "shown": UNKNOWN}
            connection.execute(insert(flow_runs).values(id=str(seen.id), name=seen.name, **link))
        log.info("run %s, started in Prefect, is job %d of %s", seen.id, job_id, owner)
        return True


def _first_superuser() -> Select[tuple[str]]:
    superusers = select(permissions.c.user_name).where(permissions.c.permission == "SuperUser")
    return superusers.order_by(permissions.c.id).limit(1)


def _tag(seen: RunView, prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in sorted(seen.tags) if tag.startswith(prefix)), None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
