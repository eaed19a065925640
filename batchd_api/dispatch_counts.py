"""What a dispatcher measures of itself, written down now and then for whoever serves the figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from batchd_api.db.session import Database
from batchd_api.services import tallies
from batchd_api.services.tallies import Tally

log = logging.getLogger("batchd.metrics")

STORE_SECONDS = 5.0


class DispatchCounts:
    """`planned` is called in the event loop; `name` is the dispatcher's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._plans = 0
        self._seconds = 0.0

    def planned(self, seconds: float) -> None:
        """One look of the planner: reading the rows, and deciding."""
        self._plans += 1
        self._seconds += seconds

    async def store_for_ever(self, database: Database, mirror_lag_seconds: Callable[[], float]) -> None:
        """While the database is away, it is counted on."""
        while True:
            await asyncio.sleep(STORE_SECONDS)
            plans, seconds = self._plans, self._seconds
            try:
                await asyncio.to_thread(self._store, database, plans, seconds, mirror_lag_seconds())
            except Exception as error:
                log.warning("the dispatcher's figures were not stored: %s", error)
                continue
            self._plans -= plans
            self._seconds -= seconds

    def _store(self, database: Database, plans: int, seconds: float, lag_seconds: float) -> None:
        with database.write() as connection:
            if plans:
                counted = [Tally(name=tallies.PLANS, value=plans)]
                tallies.add(connection, [*counted, Tally(name=tallies.PLAN_SECONDS, value=seconds)])
            tallies.put(connection, Tally(name=tallies.MIRROR_LAG, detail=self._name, value=lag_seconds))
