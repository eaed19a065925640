"""Lists of jobs, whole or page by page."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from batchd_api.db.tables import jobs
from batchd_api.errors import Invalid
from batchd_api.permissions import DEFAULT_HOST
from batchd_api.queries import JobsWanted
from batchd_api.schemas import ALL_STATUSES
from batchd_api.services.ground import Ground
from batchd_api.services.job_records import job_records

Records = list[dict[str, Any]]


def page_of_queue(ground: Ground, connection: Connection, queue_name: str, wanted: JobsWanted) -> Records:
    """In the order of the queue."""
    where = [jobs.c.queue_name == queue_name, *_filters(wanted)]
    if wanted.after is not None:
        where.append(_behind(connection, queue_name, wanted.after, backwards=wanted.backwards))
    order = (jobs.c.seq.desc(), jobs.c.id.desc()) if wanted.backwards else (jobs.c.seq, jobs.c.id)
    tail = wanted.tail_bytes
    return job_records(ground, connection, *where, order=order, limit=wanted.limit, tail_bytes=tail)


def page_of_all(ground: Ground, connection: Connection, wanted: JobsWanted) -> Records:
    """By id."""
    where = _filters(wanted)
    if wanted.after is not None:
        where.append(jobs.c.id < wanted.after if wanted.backwards else jobs.c.id > wanted.after)
    order = (jobs.c.id.desc() if wanted.backwards else jobs.c.id,)
    tail = wanted.tail_bytes
    return job_records(ground, connection, *where, order=order, limit=wanted.limit, tail_bytes=tail)


def _filters(wanted: JobsWanted) -> list[ColumnElement[bool]]:
    """No condition where every status is wanted: the rows then come in their order without a sort."""
    where: list[ColumnElement[bool]] = []
    if set(wanted.statuses) != set(ALL_STATUSES):
        where.append(jobs.c.status.in_(wanted.statuses))
    if wanted.user is not None:
        where.append(jobs.c.user_name == wanted.user)
    if wanted.type is not None:
        where.append(jobs.c.type_name == wanted.type)
    if wanted.host is not None:
        host = None if wanted.host == DEFAULT_HOST else wanted.host
        where.append(jobs.c.host_name.is_(None) if host is None else jobs.c.host_name == host)
    if wanted.since is not None:
        where.append(jobs.c.create_time >= wanted.since)
    return where


def _behind(connection: Connection, queue_name: str, job_id: int, *, backwards: bool) -> ColumnElement[bool]:
    query = select(jobs.c.seq).where(jobs.c.id == job_id, jobs.c.queue_name == queue_name)
    seq = connection.execute(query).scalar()
    if seq is None:
        raise Invalid(
            f'Job {job_id} is not in the queue "{queue_name}" any more: ask for the list from its beginning.'
        )
    if backwards:
        return or_(jobs.c.seq < seq, and_(jobs.c.seq == seq, jobs.c.id < job_id))
    return or_(jobs.c.seq > seq, and_(jobs.c.seq == seq, jobs.c.id > job_id))
