"""What people do in Prefect, carried out on our rows. Blocking; each call is one repeatable transaction."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from batchd_api.called import IS_CALLED
from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs, pools, queues
from batchd_api.reconcile import Shown
from batchd_api.recorder import CANCELLED
from batchd_api.respond import UNKNOWN
from batchd_api.statuses import AttemptState, JobStatus

log = logging.getLogger("batchd.prefect")

BY = "a person in Prefect"
WAITING = (JobStatus.NEW, JobStatus.POSTPONED)
FINAL = (JobStatus.DONE, JobStatus.FAILED)


class Hands:
    """Writes rows; the mirror then makes Prefect show them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_back(self, job_id: int, run_id: str) -> None:
        """What the run shows is not ours any more: it is due to be written again."""
        with self._database.write() as connection:
            connection.execute(update(flow_runs).where(flow_runs.c.id == run_id).values(shown=UNKNOWN))
            _due(connection, job_id)

    def forget(self, job_id: int, run_id: str) -> None:
        """The run is gone; where the job still needs one, it is due to be made again."""
        with self._database.write() as connection:
            connection.execute(delete(flow_runs).where(flow_runs.c.id == run_id))
            _due(connection, job_id)

    def cancel_waiting(self, job_id: int, run_id: str, now: datetime) -> None:
        with self._database.write() as connection:
            _touch(connection, run_id)
            _set(
                connection, jobs.c.id == job_id, _among(WAITING), status=JobStatus.FAILED, end_time=now,
                reason_code=CANCELLED, reason_text="cancelled in Prefect", reason_until=None,
            )  # fmt: skip
        log.info("job %d was cancelled in Prefect while it waited", job_id)

    def cancel_running(self, job_id: int, run_id: str, now: datetime) -> None:
        with self._database.write() as connection:
            _touch(connection, run_id, Shown.CANCELLING)
            connection.execute(
                update(attempts)
                .where(
                    attempts.c.job_id == job_id,
                    attempts.c.state != AttemptState.ENDED,
                    attempts.c.cancel_requested_at.is_(None),
                )
                .values(cancel_requested_at=now, cancelled_by=BY)
            )
            _due(connection, job_id)
        log.info("job %d was cancelled in Prefect while it ran", job_id)

    def postpone(self, job_id: int, run_id: str) -> None:
        with self._database.write() as connection:
            _touch(connection, run_id)
            _set(connection, jobs.c.id == job_id, _among((JobStatus.NEW,)), status=JobStatus.POSTPONED)
        log.info("job %d was paused in Prefect: it is postponed", job_id)

    def release(self, job_id: int, run_id: str) -> None:
        with self._database.write() as connection:
            _touch(connection, run_id)
            _set(
                connection, jobs.c.id == job_id, jobs.c.status == JobStatus.POSTPONED, status=JobStatus.NEW,
                reason_code=None, reason_text=None, reason_until=None,
            )  # fmt: skip
        log.info("job %d was resumed in Prefect: it waits for its turn", job_id)

    def run_again(self, job_id: int, run_id: str) -> None:
        with self._database.write() as connection:
            _touch(connection, run_id)
            _set(
                connection, jobs.c.id == job_id, jobs.c.status.in_(FINAL), status=JobStatus.NEW, try_count=0,
                end_time=None,
                reason_code=None, reason_text=None, reason_until=None,
            )  # fmt: skip
        log.info("job %d was retried in Prefect: it is New", job_id)

    def set_queue(self, queue_name: str, *, enabled: bool, max_jobs: int | None) -> None:
        """The pool's switches, as a person set them."""
        with self._database.write() as connection:
            values = {"enabled": enabled, "max_jobs": max_jobs}
            connection.execute(update(queues).where(queues.c.name == queue_name).values(**values))
        log.info("queue %s was changed in Prefect: enabled %s, max_jobs %s", queue_name, enabled, max_jobs)

    def written_pools(self) -> dict[str, tuple[bool, int | None]]:
        """Queue → paused and limit, as the mirror wrote them last."""
        with self._database.read() as connection:
            rows = connection.execute(select(pools))
            return {row.queue_name: (row.paused, row.concurrency_limit) for row in rows}

    def note_pool(self, queue_name: str, *, paused: bool, concurrency_limit: int | None) -> None:
        values = {"paused": paused, "concurrency_limit": concurrency_limit}
        with self._database.write() as connection:
            connection.execute(delete(pools).where(pools.c.queue_name == queue_name))
            connection.execute(insert(pools).values(queue_name=queue_name, **values))

    def forget_pool(self, queue_name: str) -> list[tuple[int, str]]:
        """The pool is gone: its job and run ids, all of which are dead with it."""
        with self._database.write() as connection:
            connection.execute(delete(pools).where(pools.c.queue_name == queue_name))
            query = select(flow_runs.c.job_id, flow_runs.c.id).where(flow_runs.c.queue_name == queue_name)
            return [(row.job_id, row.id) for row in connection.execute(query)]


def _touch(connection: Connection, run_id: str, shown: str = UNKNOWN) -> None:
    connection.execute(update(flow_runs).where(flow_runs.c.id == run_id).values(shown=shown))


def _due(connection: Connection, job_id: int) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(mirrored=0))


def _among(statuses: tuple[JobStatus, ...]) -> ColumnElement[bool]:
    """One of these, or called: that waits as well."""
    return or_(jobs.c.status.in_(statuses), IS_CALLED)


def _set(
    connection: Connection, which: ColumnElement[bool], among: ColumnElement[bool], **values: object
) -> None:
    connection.execute(update(jobs).where(which, among).values(version=jobs.c.version + 1, **values))
