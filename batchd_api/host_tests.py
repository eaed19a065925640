"""Tests of hosts that people ask for: the manager writes them down, a dispatcher carries them out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update

from batchd_api.db.host_tables import host_tests
from batchd_api.db.session import Database
from batchd_api.db.tables import dispatchers
from batchd_api.stored import stored
from batchd_flows.host_check import Step

log = logging.getLogger("batchd.hosts")

LIMIT_SECONDS = 40.0
KEPT = timedelta(hours=1)
TOO_SLOW = "the test took longer than {seconds:g} s; what is said above is all that is known"


@dataclass(frozen=True, kw_only=True)
class Asked:
    id: int
    host_name: str


class HostTests:
    """`check` does the steps of one test, blocking, and tells each as it ends."""

    def __init__(
        self,
        database: Database,
        dispatcher: str,
        check: Callable[[str, Callable[[Step], None]], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._check = check
        self._clock = clock

    def take(self, now: datetime) -> list[Asked]:
        """Those that nobody carries out, or whose dispatcher is gone; each is taken by one."""
        untaken = or_(
            host_tests.c.carer.is_(None),
            host_tests.c.carer.not_in(select(dispatchers.c.name)),
        )
        open_ones = (host_tests.c.ended_at.is_(None), untaken, host_tests.c.asked_at > now - KEPT)
        with self._database.read() as connection:
            if connection.execute(select(host_tests.c.id).where(*open_ones).limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            connection.execute(delete(host_tests).where(host_tests.c.asked_at <= now - KEPT))
            taken = connection.execute(
                update(host_tests)
                .where(*open_ones)
                .values(carer=self._dispatcher)
                .returning(host_tests.c.id, host_tests.c.host_name)
            )
            return [Asked(id=row.id, host_name=row.host_name) for row in taken]

    async def carry_out(self, asked: Asked) -> None:
        """Within its time, whatever the host does."""
        steps: list[Step] = []
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await asyncio.to_thread(self._check, asked.host_name, steps.append)
        except TimeoutError:
            text = TOO_SLOW.format(seconds=LIMIT_SECONDS)
            steps = [*steps, Step(step="time", ok=False, text=text)]
        except Exception as error:
            log.exception("the test of host %s stumbled", asked.host_name)
            steps = [*steps, Step(step="test", ok=False, text=f"the test itself failed: {error}")]
        await stored(self._note, asked, list(steps))

    def _note(self, asked: Asked, steps: list[Step]) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(host_tests)
                .where(host_tests.c.id == asked.id)
                .values(ended_at=self._clock(), steps=[asdict(step) for step in steps])
            )
