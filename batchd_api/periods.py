"""The time that a question about stored metrics is about: `?last=SECONDS` or `?from=…[&to=…]`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from batchd_api.errors import Invalid
from batchd_api.queries import given, number
from batchd_api.services.metric_history import Period

MAX_SECONDS = 100 * 366 * 86_400


def period_wanted(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Period:
    """Times without a zone of their own are the server's local time, as old clients mean them."""
    seconds, begin, end = number(query, "last", 0, MAX_SECONDS), given(query, "from"), given(query, "to")
    every = number(query, "every", 1, MAX_SECONDS)
    step = None if every is None else timedelta(seconds=every)
    if begin is not None:
        until = now if end is None else _moment("to", end, zone, fold=1)
        return Period(begin=_moment("from", begin, zone, fold=0), end=until, every=step)
    if seconds is None:
        raise Invalid('Please say which time: "last" (seconds), or "from" (and "to") as 2026-11-24T22:00:00.')
    return Period(begin=now - timedelta(seconds=seconds), end=now, every=step)


def _moment(key: str, text: str, zone: ZoneInfo, *, fold: int) -> datetime:
    """Of an hour that comes twice, `from` means the first and `to` the second."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone, fold=fold)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f'"{key}" must be a time such as 2026-11-24T22:00:00, not "{text}".') from None
