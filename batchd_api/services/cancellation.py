"""Cancelling a job: what waits is Failed at once, what runs ends behind the answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from batchd_api.db.tables import IS_ALIVE, attempts
from batchd_api.errors import StatusRefused
from batchd_api.recorder import CANCELLED
from batchd_api.services.job_order import change_row
from batchd_api.statuses import JobStatus


def cancel(connection: Connection, job: Any, *, by: str, now: datetime) -> None:
    """The caller holds the job's row. The first who asked is the one that the job names."""
    if JobStatus(job.status).is_final:
        raise StatusRefused(f"Job {job.id} is {job.status} already: there is nothing to cancel.")
    alive = (attempts.c.job_id == job.id, IS_ALIVE)
    connection.execute(
        update(attempts)
        .where(*alive, attempts.c.cancel_requested_at.is_(None))
        .values(cancel_requested_at=now, cancelled_by=by)
    )
    if connection.execute(select(attempts.c.id).where(*alive).limit(1)).first() is None:
        change_row(
            connection, job.id, status=JobStatus.FAILED, end_time=now,
            reason_code=CANCELLED, reason_text=f"cancelled by {by}", reason_until=None,
        )  # fmt: skip
