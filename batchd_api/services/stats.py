"""How many jobs are in which status; old clients know only these keys."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, select

from batchd_api.db.tables import jobs, queues
from batchd_api.errors import QueueNotFound
from batchd_api.services.ground import Ground


class Stats:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def all(self) -> dict[str, dict[str, int]]:
        return self._count()

    def of_queue(self, name: str) -> dict[str, int]:
        with self._ground.database.read() as connection:
            if connection.execute(select(queues.c.name).where(queues.c.name == name)).first() is None:
                raise QueueNotFound(name)
        return self._count(jobs.c.queue_name == name).get(name, {})

    def _count(self, *where: ColumnElement[bool]) -> dict[str, dict[str, int]]:
        query = (
            select(jobs.c.queue_name, jobs.c.status, func.count())
            .where(*where)
            .group_by(jobs.c.queue_name, jobs.c.status)
            .order_by(jobs.c.queue_name, jobs.c.status)
        )
        counts: dict[str, dict[str, int]] = {}
        with self._ground.database.read() as connection:
            for queue, status, count in connection.execute(query):
                counts.setdefault(queue, {})[status.lower()] = count
        return counts
