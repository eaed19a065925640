"""Durations and sizes as people write them."""

import re

MAX_DURATION_SECONDS = 100 * 365 * 86400
MAX_SIZE_BYTES = 2**60

_NUMBER = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)", re.ASCII)
_UNIT_SECONDS = {
    "ms": 0.001,
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 604800),
}
# As `ls -h` and `du -h` mean them.
_UNIT_BYTES = {"": 1, "b": 1} | {
    f"{letter}{end}": 1024**power
    for power, letter in enumerate("kmgt", start=1)
    for end in ("", "b", "i", "ib")
}


def seconds_of(text: str, *, unit_seconds: float = 1) -> float | None:
    """`90` (of `unit_seconds`), `90 s`, `5 min`, `2h`, `3 d`; None for anything else."""
    match = _NUMBER.fullmatch(text.strip().lower())
    unit = (unit_seconds if not match[2] else _UNIT_SECONDS.get(match[2])) if match else None
    return None if match is None or unit is None else float(match[1]) * unit


def bytes_of(text: str) -> int | None:
    """`1048576`, `500M`, `2 GiB`: units are powers of 1024; None for anything else."""
    match = _NUMBER.fullmatch(text.strip().lower())
    unit = _UNIT_BYTES.get(match[2]) if match else None
    return None if match is None or unit is None else int(float(match[1]) * unit)
