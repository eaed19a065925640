"""What clients ask in the query of a path, checked and turned into records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from batchd_api.errors import Invalid
from batchd_api.schemas import parse_flag, parse_statuses
from batchd_api.statuses import JobStatus
from batchd_api.times import parse_time

MAX_LIMIT = 10_000
MAX_OFFSET = 2**63 - 1
MAX_OPENINGS = 100
STREAMS = ("stdout", "stderr")

_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class JobsWanted:
    """Which jobs a list shall show. `after` is the id of the last job that the client has seen.

    `backwards` turns a queue's order round. `tail_bytes` is how much of each stream comes along, at most.
    """

    statuses: tuple[JobStatus, ...] = (JobStatus.NEW,)
    user: str | None = None
    type: str | None = None
    host: str | None = None
    since: datetime | None = None
    limit: int | None = None
    after: int | None = None
    backwards: bool = False
    tail_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class OutputWanted:
    """`attempt` None is the latest."""

    stream: str = "stdout"
    attempt: int | None = None
    offset: int = 0


def jobs_wanted(query: Mapping[str, str]) -> JobsWanted:
    since = given(query, "since")
    return JobsWanted(
        statuses=_statuses(given(query, "status")),
        user=_text(query, "user"),
        type=_text(query, "type"),
        host=_text(query, "host"),
        since=None if since is None else parse_time(since),
        limit=number(query, "limit", 1, MAX_LIMIT),
        after=number(query, "after", 0, MAX_OFFSET),
        backwards=parse_flag("backwards", given(query, "backwards")),
        tail_bytes=number(query, "tail", 0, MAX_OFFSET),
    )


def _statuses(text: str | None) -> tuple[JobStatus, ...]:
    """Several may be given, with commas."""
    if text is None:
        return (JobStatus.NEW,)
    found = {status for word in text.split(",") for status in parse_statuses(word, default=())}
    return tuple(status for status in JobStatus if status in found)


def output_wanted(query: Mapping[str, str]) -> OutputWanted:
    stream = given(query, "stream") or "stdout"
    if stream not in STREAMS:
        raise Invalid(f'"stream" is stdout or stderr, not "{stream}".')
    return OutputWanted(
        stream=stream,
        attempt=number(query, "attempt", 1, 2**31 - 1),
        offset=number(query, "offset", 0, MAX_OFFSET) or 0,
    )


def openings_wanted(query: Mapping[str, str]) -> int:
    return number(query, "count", 1, MAX_OPENINGS) or 5


def given(query: Mapping[str, str], key: str) -> str | None:
    """Empty counts as absent: forms and old pages send such."""
    return query.get(key) or None


def _text(query: Mapping[str, str], key: str) -> str | None:
    value = given(query, key)
    if value is not None and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise Invalid(f'"{key}" has a character that is no text.')
    return value


def number(query: Mapping[str, str], key: str, minimum: int, maximum: int) -> int | None:
    value = given(query, key)
    if value is None:
        return None
    if not _DIGITS.fullmatch(value) or not minimum <= int(value) <= maximum:
        raise Invalid(f'"{key}" must be a whole number from {minimum} to {maximum}, not "{value}".')
    return int(value)
