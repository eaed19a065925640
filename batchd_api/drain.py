"""A dispatcher that takes no new jobs while those that run go on: `batchd drain`. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import func, select, update

from batchd_api.alive import alive_since
from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers
from batchd_api.errors import BatchdError, StartupError

LOOK_SECONDS = 0.5


class NotDrained(BatchdError):
    """{message}"""

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


def enlist(database: Database, name: str) -> None:
    """A dispatcher starts: it takes jobs, whatever was said to the one before."""
    with database.write() as connection:
        connection.execute(update(dispatchers).where(dispatchers.c.name == name).values(draining=False))


def set_draining(database: Database, name: str, now: datetime, *, draining: bool) -> None:
    """Raises StartupError where no such dispatcher is alive."""
    with database.write() as connection:
        found = connection.execute(
            update(dispatchers)
            .where(dispatchers.c.name == name, dispatchers.c.seen_at >= alive_since(now))
            .values(draining=draining)
        )
    if found.rowcount == 0:
        raise StartupError(
            f"The dispatcher {name} of this configuration does not run: nothing is to be drained."
        )


def wait_until_drained(
    database: Database,
    name: str,
    clock: Callable[[], datetime],
    *,
    timeout_seconds: float | None,
    say: Callable[[str], None],
) -> None:
    """Raises NotDrained when the time is over, the dispatcher stops, or somebody lets it take jobs again."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    said: int | None = None
    while running := _running(database, name, clock()):
        if running != said:
            say(f"{_jobs(running)} running")
            said = running
        if deadline is not None and time.monotonic() >= deadline:
            raise NotDrained(
                f"{_jobs(running)} still running after {timeout_seconds:g} s; no new ones are taken."
            )
        left = LOOK_SECONDS if deadline is None else deadline - time.monotonic()
        time.sleep(min(LOOK_SECONDS, max(0.01, left)))


def _running(database: Database, name: str, now: datetime) -> int:
    """How many of its attempts live. Raises NotDrained."""
    count = select(func.count()).where(attempts.c.dispatcher == name, IS_ALIVE).scalar_subquery()
    is_alive = (dispatchers.c.seen_at >= alive_since(now)).label("is_alive")
    query = select(dispatchers.c.draining, is_alive, count.label("living"))
    with database.read() as connection:
        row = connection.execute(query.where(dispatchers.c.name == name)).one_or_none()
    if row is None or not row.draining:
        raise NotDrained("The dispatcher takes new jobs again: it was restarted, or somebody said --off.")
    if row.living and not row.is_alive:
        raise NotDrained(
            f"The dispatcher has stopped before it saw the end of {_jobs(row.living)}; they go on without it."
        )
    return int(row.living)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
