"""Whether the service can work, for load balancers and people who look before they ask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from batchd_api.db.clock import moment
from batchd_api.db.host_tables import hosts
from batchd_api.db.session import Database
from batchd_api.db.tables import dispatchers
from batchd_api.errors import BatchdError
from batchd_api.times import format_time

OK = "ok"
STARTING = "starting"
AWAY = "The database cannot be reached."  # to everybody: the log says where it is
NOT_EMBEDDED = "not embedded"
SEEN_WITHIN = timedelta(seconds=30)  # they write themselves down every few seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Report:
    prefect: str
    database: str = OK
    dispatchers: int = 0
    host_alarms: int = 0  # machines of ours that do not stop

    @property
    def is_well(self) -> bool:
        """Prefect may be away: jobs go on, and requests are answered."""
        return self.database == OK

    def record(self) -> dict[str, Any]:
        return {
            "alive": True,
            "database": self.database,
            "prefect": self.prefect,
            "dispatchers": self.dispatchers,
            "host_alarms": self.host_alarms,
        }


class ServerState:
    """What the keeper of the embedded Prefect server last saw; read in other threads."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._has_started = False
        self._down_since: datetime | None = None

    def note(self, answers: bool) -> None:
        self._has_started = self._has_started or answers
        if answers:
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._clock()

    def failed_to_start(self) -> None:
        """It is started again, but from now on its being away is a fault."""
        self._has_started = True
        self.note(False)

    def sentence(self) -> str:
        if not self._has_started:
            return STARTING
        since = self._down_since
        return OK if since is None else f"down since {format_time(since)}"


class Health:
    """`prefect`: what there is to say of the server that is ours to keep, asked in any thread."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        prefect: Callable[[], str] = lambda: NOT_EMBEDDED,
    ) -> None:
        self._database = database
        self._clock = clock
        self._prefect = prefect

    def report(self) -> Report:
        count = select(func.count()).where(dispatchers.c.seen_at >= moment(self._clock(), SEEN_WITHIN))
        alarms = select(func.count()).where(hosts.c.alarm.is_not(None))
        try:
            with self._database.read() as connection:
                found = int(connection.execute(count).scalar_one())
                alarmed = int(connection.execute(alarms).scalar_one())
        except BatchdError as error:
            log.warning("asked for its health: %s", error)
            return Report(database=AWAY, prefect=self._prefect())
        return Report(dispatchers=found, host_alarms=alarmed, prefect=self._prefect())
