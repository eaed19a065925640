"""What a dispatcher says of itself every few seconds: that it is alive, and how many jobs it takes. Blocking.

One that does not reach Prefect could start none of what it is given, while others could: it says that it
takes none. Where another one reaches Prefect, it leaves to that what it has not started, and the planner's
lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from batchd_api.alive import alive_since
from batchd_api.db.session import Database
from batchd_api.db.tables import dispatchers
from batchd_api.prefect_reach import PrefectReach
from batchd_api.world import beat

TAKES_NONE_SECONDS = 10.0  # after so long without Prefect
# Longer by more than others need to notice the same: where Prefect is away from all, nobody gives way.
GIVES_WAY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Beat:
    """`draining`: somebody wants it to take no new jobs. `gives_way`: another one reaches Prefect."""

    draining: bool
    gives_way: bool


class Heartbeat:
    """`workers` and `queues` as configured; `queues` None = all."""

    def __init__(
        self,
        database: Database,
        name: str,
        reach: PrefectReach,
        *,
        workers: int,
        queues: Sequence[str] | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._name = name
        self._reach = reach
        self._workers = workers
        self._queues = list(queues) if queues is not None else None
        self._clock = clock
        self._said: int | None = None

    @property
    def is_due(self) -> bool:
        """What was said last is not so any more."""
        return self._said is not None and self._said != self._takes

    @property
    def _takes(self) -> int:
        return 0 if self._reach.away_seconds >= TAKES_NONE_SECONDS else self._workers

    def beat(self) -> Beat:
        takes = self._takes
        draining = beat(self._database, self._name, takes, self._queues, self._clock())
        self._said = takes
        is_cut_off = self._reach.away_seconds >= GIVES_WAY_SECONDS
        return Beat(draining=draining, gives_way=is_cut_off and self._another_reaches_prefect())

    def _another_reaches_prefect(self) -> bool:
        query = select(dispatchers.c.name).where(
            dispatchers.c.name != self._name,
            dispatchers.c.seen_at >= alive_since(self._clock()),
            dispatchers.c.workers > 0,
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None
