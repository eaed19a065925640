"""A disabled queue in which enough jobs wait is enabled: looked at on every enqueue, and once a minute."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import ColumnElement, Connection, update

from batchd_api.db.job_counts import number_of
from batchd_api.db.tables import queues
from batchd_api.statuses import JobStatus

log = logging.getLogger("batchd.queues")


def sweep(connection: Connection) -> list[str]:
    """Enable every queue that is due, each by its own jobs alone. Their names; the caller then plans anew."""
    return _enable(connection)


def look_at(connection: Connection, queue: Any) -> None:
    """The same for one queue, whose row the caller holds."""
    if not queue.enabled and queue.autostart_job_count is not None:
        _enable(connection, queues.c.name == queue.name)


def _enable(connection: Connection, *where: ColumnElement[bool]) -> list[str]:
    waiting = number_of(queues.c.name, JobStatus.NEW)
    due = (
        ~queues.c.enabled,
        queues.c.autostart_job_count.is_not(None),
        waiting >= queues.c.autostart_job_count,
    )
    query = update(queues).where(*where, *due).values(enabled=True).returning(queues.c.name)
    names = sorted(connection.execute(query).scalars())
    for name in names:
        log.info("queue %s has its autostart_job_count of waiting jobs: it is enabled", name)
    return names
