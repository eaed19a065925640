"""The order of jobs in a queue: `seq`, unique there. Callers hold the queue's row (`lock_queue`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from batchd_api.db.tables import jobs
from batchd_api.errors import StatusRefused, UnknownInBody
from batchd_api.schemas import Beside, Priority
from batchd_api.statuses import JobStatus

IN_LINE = (JobStatus.NEW, JobStatus.POSTPONED)
FIRST, LAST = "first", "last"

# Made once: every enqueue asks.
_OF_QUEUE = select(jobs.c.seq).where(jobs.c.queue_name == bindparam("queue")).limit(1)
_OUTERMOST = {FIRST: _OF_QUEUE.order_by(jobs.c.seq), LAST: _OF_QUEUE.order_by(jobs.c.seq.desc())}


def change_row(connection: Connection, job_id: int, **values: Any) -> None:
    """The only way here to write a job's row: the mirror goes by `version`."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values, version=jobs.c.version + 1))


def next_seq(connection: Connection, queue_name: str) -> int:
    """Behind everything in the queue."""
    return int(_outermost(connection, queue_name, LAST) or 0) + 1


def place_beside(connection: Connection, job: Any, place: Beside) -> None:
    """Put it right before or after another job in line; those between change places by one."""
    _require_in_line(job)
    query = select(jobs).where(jobs.c.id == place.job_id, jobs.c.queue_name == job.queue_name)
    other = connection.execute(query).one_or_none()
    if other is None:
        raise UnknownInBody("job", str(place.job_id))
    _require_in_line(other)
    rows = _in_line_between(connection, job.queue_name, *sorted((job.seq, other.seq)))
    order = [row.id for row in rows if row.id != job.id]
    if other.id != job.id:
        order.insert(order.index(other.id) + (0 if place.is_before else 1), job.id)
        _write_order(connection, rows, order)


def _in_line_between(connection: Connection, queue_name: str, first: int, last: int) -> Any:
    query = select(jobs.c.id, jobs.c.seq).where(
        jobs.c.queue_name == queue_name, jobs.c.status.in_(IN_LINE), jobs.c.seq.between(first, last)
    )
    return connection.execute(query.order_by(jobs.c.seq, jobs.c.id)).all()


def _write_order(connection: Connection, rows: Any, order: list[int]) -> None:
    """The same places for the same jobs in another order, in one statement for many rows."""
    moved = [
        {"job": job_id, "place": row.seq} for row, job_id in zip(rows, order, strict=True) if row.id != job_id
    ]
    if moved:
        values = {"seq": bindparam("place"), "version": jobs.c.version + 1}
        connection.execute(update(jobs).where(jobs.c.id == bindparam("job")).values(values), moved)


def prioritize(connection: Connection, job: Any, priority: Priority) -> None:
    """Move a job among those that stand in line. One that is there already stays as it is."""
    _require_in_line(job)
    earlier = priority in (Priority.FIRST, Priority.MORE)
    beyond = jobs.c.seq < job.seq if earlier else jobs.c.seq > job.seq
    neighbour = _nearest(connection, job, beyond, earlier=earlier)
    if neighbour is None:
        return
    if priority is Priority.FIRST:
        first = int(_outermost(connection, job.queue_name, FIRST) or 0)
        change_row(connection, job.id, seq=first - 1)
    elif priority is Priority.LAST:
        change_row(connection, job.id, seq=next_seq(connection, job.queue_name))
    else:
        change_row(connection, neighbour.id, seq=job.seq)
        change_row(connection, job.id, seq=neighbour.seq)


def _require_in_line(job: Any) -> None:
    if job.status not in IN_LINE:
        raise StatusRefused(
            f"Job {job.id} is {job.status}: only a New or Postponed job has a place to change."
        )


def _nearest(connection: Connection, job: Any, beyond: ColumnElement[bool], *, earlier: bool) -> Any:
    order = jobs.c.seq.desc() if earlier else jobs.c.seq.asc()
    query = (
        select(jobs.c.id, jobs.c.seq)
        .where(jobs.c.queue_name == job.queue_name, jobs.c.status.in_(IN_LINE), beyond)
        .order_by(order)
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _outermost(connection: Connection, queue_name: str, end: str) -> int | None:
    """One look into the index, however many jobs the queue has had."""
    return connection.execute(_OUTERMOST[end], {"queue": queue_name}).scalar()
