"""Who plans: one dispatcher at a time, by a lease in the database. Blocking.

Times are the database's: the clocks of the machines may differ. The holder knows by its own steady clock when
its lease is over, so one that was stopped past its time is planner no more from its first instruction on; and
what it had planned before is refused where it would be written, because the term has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from batchd_api.db.clock import database_now
from batchd_api.db.session import Database
from batchd_api.db.tables import leases

PLANNER = "planner"
LEASE_SECONDS = 9.0
SEEK_SECONDS = 2.0  # between two renewals, or two tries: whoever dies is followed within 11 seconds
MARGIN_SECONDS = 1.0  # the holder stops so long before another may begin


def steady_seconds() -> float:
    """Goes on while the process is stopped and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PlannerLease:
    """`holder` is the dispatcher's name. `seek` is called again and again; `holds` may be asked any time."""

    def __init__(
        self, database: Database, holder: str, *, seconds: Callable[[], float] = steady_seconds
    ) -> None:
        self._database = database
        self._holder = holder
        self._seconds = seconds
        self._term: int | None = None
        self._safe_until = 0.0

    @property
    def holds(self) -> bool:
        return self._term is not None and self._seconds() < self._safe_until

    def seek(self) -> bool:
        """Renew it, or take it where it is free: given up, over, or ours from before a restart."""
        asked = self._seconds()
        try:
            with self._database.write() as connection:
                self._term = self._take(connection)
        except IntegrityError:  # another was the first ever, this very moment
            self._term = None
        self._safe_until = asked + LEASE_SECONDS - MARGIN_SECONDS
        return self._term is not None

    def _take(self, connection: Connection) -> int | None:
        row = connection.execute(
            select(leases).where(leases.c.name == PLANNER).with_for_update()
        ).one_or_none()
        now = database_now(connection)
        until = now + timedelta(seconds=LEASE_SECONDS)
        if row is None:
            connection.execute(insert(leases).values(name=PLANNER, holder=self._holder, term=1, until=until))
            return 1
        mine = row.holder == self._holder
        is_over = not now <= row.until <= until  # one from the future is of a clock that was put back
        if not (mine or is_over) or (mine and self._term not in (None, row.term)):
            return None
        term = row.term if mine and self._term == row.term else row.term + 1
        connection.execute(
            update(leases).where(leases.c.name == PLANNER).values(holder=self._holder, term=term, until=until)
        )
        return int(term)

    def is_held_in(self, connection: Connection) -> bool:
        """As the database says within this transaction: asked before anything is written as the planner."""
        row = connection.execute(select(leases).where(leases.c.name == PLANNER)).one_or_none()
        mine = row is not None and (row.holder, row.term) == (self._holder, self._term)
        return mine and row is not None and row.until >= database_now(connection)

    def give_up(self) -> None:
        """At the end: the next one need not wait."""
        term, self._term = self._term, None
        if term is None:
            return
        with self._database.write() as connection:
            connection.execute(
                delete(leases).where(
                    leases.c.name == PLANNER, leases.c.holder == self._holder, leases.c.term == term
                )
            )
