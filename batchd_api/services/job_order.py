"""The order of jobs in a queue: `seq`, unique there. Callers hold the queue's row (`lock_queue`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, select, union_all, update

from batchd_api.db.tables import jobs
from batchd_api.errors import StatusRefused
from batchd_api.schemas import Priority
from batchd_api.statuses import JobStatus

IN_LINE = (JobStatus.NEW, JobStatus.POSTPONED)


def change_row(connection: Connection, job_id: int, **values: Any) -> None:
    """The only way here to write a job's row: the mirror goes by `version`."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values, version=jobs.c.version + 1))


def next_seq(connection: Connection, queue_name: str) -> int:
    """Behind everything in the queue."""
    return int(_outermost(connection, queue_name, func.max) or 0) + 1


def prioritize(connection: Connection, job: Any, priority: Priority) -> None:
    """Move a job among those that stand in line. One that is there already stays as it is."""
    if job.status not in IN_LINE:
        raise StatusRefused(
            f"Job {job.id} is {job.status}: only a New or Postponed job has a place to change."
        )
    earlier = priority in (Priority.FIRST, Priority.MORE)
    beyond = jobs.c.seq < job.seq if earlier else jobs.c.seq > job.seq
    neighbour = _nearest(connection, job, beyond, earlier=earlier)
    if neighbour is None:
        return
    if priority is Priority.FIRST:
        first = int(_outermost(connection, job.queue_name, func.min) or 0)
        change_row(connection, job.id, seq=first - 1)
    elif priority is Priority.LAST:
        change_row(connection, job.id, seq=next_seq(connection, job.queue_name))
    else:
        change_row(connection, neighbour.id, seq=job.seq)
        change_row(connection, job.id, seq=neighbour.seq)


def _nearest(connection: Connection, job: Any, beyond: ColumnElement[bool], *, earlier: bool) -> Any:
    order = jobs.c.seq.desc() if earlier else jobs.c.seq.asc()
    query = (
        select(jobs.c.id, jobs.c.seq)
        .where(jobs.c.queue_name == job.queue_name, jobs.c.status.in_(IN_LINE), beyond)
        .order_by(order)
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _outermost(connection: Connection, queue_name: str, extreme: Any) -> int | None:
    """One look into the index a status, instead of one at every job that the queue ever had."""
    each = [
        select(extreme(jobs.c.seq).label("seq")).where(
            jobs.c.queue_name == queue_name, jobs.c.status == status
        )
        for status in JobStatus
    ]
    found = union_all(*each).subquery()
    outermost: ScalarSelect[int] = select(extreme(found.c.seq)).scalar_subquery()
    return connection.execute(select(outermost)).scalar()
