"""How many jobs are in which status; old clients know only these keys."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from batchd_api.db.job_counts import job_counts, numbers
from batchd_api.db.tables import queues
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
        return self._count(job_counts.c.queue_name == name).get(name, {})

    def _count(self, *where: ColumnElement[bool]) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        with self._ground.database.read() as connection:
            for queue, status, count in connection.execute(numbers(*where)):
                counts.setdefault(queue, {})[status.lower()] = count
        return counts
