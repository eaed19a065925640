"""Stores the metrics every `metrics.dump_timeout` seconds, where the facade is, and lets old ones go."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from batchd_api.errors import DatabaseFull, DatabaseUnavailable
from batchd_api.retention import MetricRetention
from batchd_api.services.metric_history import Dump, MetricHistory
from batchd_api.services.metrics import Metrics

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

    def tidy(self, now: datetime) -> None:
        """Blocking."""
        while self.retention.sweep(now):
            pass

    async def _turn(self) -> None:
        try:
            await asyncio.to_thread(self.dump)
        except (DatabaseUnavailable, DatabaseFull) as error:
            log.warning("the metrics were not stored: %s", error)
        except Exception:
            log.exception("storing the metrics stumbled; it goes on")

    async def _tidy_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_SECONDS)
            try:
                await asyncio.to_thread(self.tidy, self.metrics.ground.clock())
            except Exception:
                log.exception("removing old metrics stumbled; it is tried again")
