"""Times on the wire: ISO 8601 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from batchd_api.errors import Invalid

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,12}))?(Z|[+-]\d\d:?\d\d)",
    re.ASCII | re.IGNORECASE,
)


def format_time(moment: datetime | None) -> str | None:
    """With `Z` and always six digits of a second: old clients parse exactly that."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """A time with a zone; digits past the microsecond are dropped."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise Invalid(f'"{text}" is no time such as 2026-11-24T22:00:00Z.')
    day, clock, fraction, zone = match.groups()
    seconds = clock if clock.count(":") > 1 else f"{clock}:00"
    iso = f"{day}T{seconds}.{(fraction or '')[:6]:0<6}{'+00:00' if zone in 'Zz' else zone}"
    try:
        return datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f'"{text}" is a time that does not exist.') from None
