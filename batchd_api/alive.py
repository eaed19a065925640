"""Which dispatchers are alive: those that said so a moment ago."""

from __future__ import annotations

from datetime import datetime, timedelta

DISPATCHER_ALIVE_SECONDS = 15


def alive_since(now: datetime) -> datetime:
    """A dispatcher that was seen since then is alive."""
    return now - timedelta(seconds=DISPATCHER_ALIVE_SECONDS)
