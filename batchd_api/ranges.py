"""`Range` of a request: which bytes of an answer a client wants."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Begin and end (exclusive) of the one range; None: the whole. An empty one is none of these bytes.

    What is not understood, several ranges too, counts as absent (RFC 9110).
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return max(0, size_bytes - int(match[2])), size_bytes
    begin, end = int(match[1]), int(match[2]) + 1 if match[2] else size_bytes
    if match[2] and end <= begin:
        return None
    return begin, max(begin, min(end, size_bytes))
