"""Which dispatchers are alive: those that said so a moment ago, by the clock of the database."""

from __future__ import annotations

from datetime import datetime, timedelta

from batchd_api.db.clock import moment

DISPATCHER_ALIVE_SECONDS = 15


def alive_since(now: datetime) -> moment:
    """To be compared in a query: a dispatcher that was seen since then is alive."""
    return moment(now, timedelta(seconds=DISPATCHER_ALIVE_SECONDS))
