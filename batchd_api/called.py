"""Jobs that were called: their turn has come and their host is being got ready. No attempt lives yet."""

from __future__ import annotations

from sqlalchemy import Connection, and_, exists, select

from batchd_api.db.tables import IS_ALIVE, attempts, jobs
from batchd_api.statuses import JobStatus
from batchd_flows.job_types import JobTypes

IS_CALLED = and_(
    jobs.c.status == JobStatus.WAITING, ~exists().where(attempts.c.job_id == jobs.c.id, IS_ALIVE)
)


def is_called(connection: Connection, job_id: int) -> bool:
    return connection.execute(select(jobs.c.id).where(jobs.c.id == job_id, IS_CALLED)).first() is not None


def effective_host(
    job_types: JobTypes, job_host: str | None, type_name: str, queue_host: str | None
) -> str | None:
    """The job's, else its type's, else its queue's; None: the dispatcher's own machine."""
    type_host = job_types.get(type_name).host_name if type_name in job_types else None
    return job_host or type_host or queue_host
