"""What is counted of a run when it starts and when it ends, in the transaction that writes it down."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from batchd_api.db.tables import attempts, jobs
from batchd_api.services import tallies
from batchd_api.services.run_times import note_run_time
from batchd_flows.run import Outcome


def count_start(connection: Connection, job_id: int, number: int, at: datetime) -> None:
    """It has waited since it was enqueued, since its start time, or since its last execution ended."""
    query = select(jobs.c.queue_name, jobs.c.type_name, jobs.c.create_time, jobs.c.start_time)
    job = connection.execute(query.where(jobs.c.id == job_id)).one_or_none()
    if job is None:
        return
    before = select(attempts.c.ended_at).where(attempts.c.job_id == job_id, attempts.c.number == number - 1)
    moments = (job.create_time, job.start_time, connection.execute(before).scalar())
    since = max(moment for moment in moments if moment is not None)
    tallies.add(connection, tallies.of_a_start(job.queue_name, job.type_name, may_run_since=since, at=at))


def count_end(
    connection: Connection, attempt_id: int, outcome: Outcome, *, cancelled: bool, now: datetime
) -> None:
    query = (
        select(jobs.c.queue_name, jobs.c.type_name, attempts.c.started_at, attempts.c.host_name)
        .join_from(attempts, jobs, attempts.c.job_id == jobs.c.id)
        .where(attempts.c.id == attempt_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return
    seconds = None
    if row.started_at is not None:
        seconds = max(0.0, ((outcome.ended_at or now) - row.started_at).total_seconds())
        note_run_time(connection, row.type_name, row.host_name, seconds, succeeded=outcome.succeeded)
    tallies.add(
        connection,
        tallies.of_an_end(row.queue_name, row.type_name, outcome, cancelled=cancelled, seconds=seconds),
    )
