"""Deleting jobs: their rows go at once; trees that still run and flow runs end behind them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, select, update

from batchd_api.db.tables import attempts, flow_runs, jobs, output
from batchd_api.statuses import AttemptState

IDS_AT_ONCE = 500


def delete_jobs(connection: Connection, *where: ColumnElement[bool], by: str, now: datetime) -> int:
    """Delete the jobs that match, in the caller's transaction. Returns how many there were."""
    # The locked list, not the condition again: a job that is claimed meanwhile must not slip between.
    ids = list(connection.execute(select(jobs.c.id).where(*where).with_for_update()).scalars())
    for part in _parts(ids):
        connection.execute(
            update(attempts)
            .where(
                attempts.c.job_id.in_(part),
                attempts.c.state != AttemptState.ENDED,
                attempts.c.cancel_requested_at.is_(None),
            )
            .values(cancel_requested_at=now, cancelled_by=by)
        )
        connection.execute(
            delete(attempts).where(attempts.c.job_id.in_(part), attempts.c.state == AttemptState.ENDED)
        )
        connection.execute(update(flow_runs).where(flow_runs.c.job_id.in_(part)).values(gone=True))
        connection.execute(delete(output).where(output.c.job_id.in_(part)))
        connection.execute(delete(jobs).where(jobs.c.id.in_(part)))
    return len(ids)


def _parts(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), IDS_AT_ONCE):
        yield ids[start : start + IDS_AT_ONCE]
