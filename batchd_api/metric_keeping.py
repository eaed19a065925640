"""Stores the metrics every `metrics.dump_timeout` seconds, where the facade is, and lets old ones go."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from batchd_api.errors import DatabaseFull, DatabaseUnavailable
from batchd_api.host_ledger import started_by_us
from batchd_api.retention import MetricRetention
from batchd_api.services.metric_history import Dump, MetricHistory
from batchd_api.services.metrics import Metrics
from batchd_api.services.tallies import HOST_ON_SECONDS, Tally, add, forget_deleted_queues

log = logging.getLogger("batchd.metrics")

TIDY_EVERY_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class MetricKeeper:
    """`dump_seconds` 0 stores nothing; `prefix` narrows what is stored."""

    metrics: Metrics
    history: MetricHistory
    retention: MetricRetention
    dump_seconds: float
    prefix: str | None = None

    async def run(self) -> None:
        """For ever. A database that is away costs records, nothing else."""
        tidy = asyncio.create_task(self._tidy_for_ever(), name="metric retention")
        try:
            while self.dump_seconds > 0:
                await asyncio.sleep(self.dump_seconds)
                await self._turn()
            await tidy
        finally:
            tidy.cancel()

    def dump(self) -> None:
        """Blocking. All of one moment."""
        now = self.metrics.ground.clock()
        found = tuple(self.metrics.current(self.prefix or ""))
        self.history.store(Dump(time=now, daemon=self.metrics.options.daemon, metrics=found))
        self._count_hosts()

    def _count_hosts(self) -> None:
        """How long our machines are on, as true as two dumps lie close together."""
        with self.metrics.ground.database.read() as connection:
            on = started_by_us(connection)
        if on:
            with self.metrics.ground.database.write() as connection:
                add(connection, [Tally(name=HOST_ON_SECONDS, detail=n, value=self.dump_seconds) for n in on])

    def tidy(self, now: datetime) -> None:
        """Blocking."""
        with self.metrics.ground.database.write() as connection:
            forget_deleted_queues(connection)
        while self.retention.sweep(now):
            pass

    async def _turn(self) -> None:
        try:
            await asyncio.to_thread(self.dump)
        except (DatabaseUnavailable, DatabaseFull) as error:
            log.debug("the metrics were not stored: %s", error)  # the database says it
        except Exception:
            log.exception("storing the metrics stumbled; it goes on")

    async def _tidy_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_SECONDS)
            try:
                await asyncio.to_thread(self.tidy, self.metrics.ground.clock())
            except Exception:
                log.exception("removing old metrics stumbled; it is tried again")
