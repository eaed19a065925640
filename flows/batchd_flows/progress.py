"""How far a command is, read from what it prints: a regular expression, its cost bounded.

The expression is a job type's and so trusted, but expressions that take for ever are written by accident, and
the text is anybody's: lines are cut, each search has a time limit, and one that runs into it too often is
given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

import regex

from batchd_flows.errors import FlowsError

log = logging.getLogger("batchd.progress")

MAX_LINE = 512  # characters of a line that are looked at
MAX_LINES = 200  # of one piece of output: the first few and the last ones
FIRST_LINES = 20
MAX_TEXT = 200
SEARCH_SECONDS = 0.05
PIECE_SECONDS = 0.1
TIMEOUTS = 3
RATE_SECONDS = 2.0  # less than this says nothing about the rate
_PERCENT = r"(?P<percent>\d{1,3}(?:\.\d+)?)\s?%"

PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "blender": r"(?:Sample|Rendered)\s+(?P<n>\d+)\s*/\s*(?P<total>\d+)",  # within a frame
        "cmake": r"^\[\s*(?P<percent>\d{1,3})%\]",
        "ffmpeg": r"Duration:\s*(?P<total>\d+:\d\d:\d\d(?:\.\d+)?)|time=\s*(?P<n>\d+:\d\d:\d\d(?:\.\d+)?)",
        "fraction": r"(?P<n>\d+)\s*/\s*(?P<total>\d+)",
        "handbrake": rf"Encoding:.*?{_PERCENT}",
        "make": r"^\[\s*(?P<percent>\d{1,3})%\]",
        "ninja": r"^\[(?P<n>\d+)/(?P<total>\d+)\]",
        "percent": _PERCENT,
        "pip": r"(?P<n>\d+(?:\.\d+)?)/(?P<total>\d+(?:\.\d+)?)\s?[kMG]?B",
        "pytest": r"\[\s*(?P<percent>\d{1,3})%\]\s*$",
        "rsync": r"^\s*[\d,.]+[kMGT]?\s+(?P<percent>\d{1,3})%",  # with --info=progress2
        "tqdm": r"(?P<percent>\d{1,3})%\|",
        "wget": r"\s(?P<percent>\d{1,3})%",
    }
)


class ProgressError(FlowsError):
    """A `progress` that is neither the name of a preset nor a usable regular expression."""


class _Match(Protocol):
    def groupdict(self) -> dict[str, str | None]: ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`text`: the line that said so. `eta`: when it is done, if it goes on at the rate that it has had."""

    percent: float
    text: str
    at: datetime
    eta: datetime | None = None


class ProgressPattern:
    """One expression, or a preset's by its name. Raises ProgressError."""

    def __init__(self, text: str) -> None:
        try:
            self._search: Any = regex.compile(PRESETS.get(text, text)).search
            groups = set(regex.compile(PRESETS.get(text, text)).groupindex)
        except regex.error as error:
            raise ProgressError(f"is no regular expression: {error}") from error
        if not ("percent" in groups or {"n", "total"} <= groups):
            raise ProgressError(
                "must have a group (?P<percent>…), or (?P<n>…) and (?P<total>…), or be one of "
                + ", ".join(sorted(PRESETS))
            )

    def find(self, line: str) -> Mapping[str, str] | None:
        """The groups that matched; None for a line that says nothing. Raises TimeoutError."""
        match: _Match | None = self._search(line[:MAX_LINE], timeout=SEARCH_SECONDS)
        if match is None:
            return None
        return {name: value for name, value in match.groupdict().items() if value is not None}


class ProgressReader:
    """Follows one attempt's output. Not for several threads at once."""

    def __init__(self, pattern: ProgressPattern, clock: Callable[[], float] = time.monotonic) -> None:
        self._pattern = pattern
        self._clock = clock
        self._rests: dict[str, str] = {}
        self._known: dict[str, str] = {}  # a total that was said once counts for what comes
        self._timeouts = 0
        self._first: Progress | None = None

    def feed(self, stream: str, data: bytes, at: datetime) -> Progress | None:
        """The newest progress that this piece of output tells; None if none."""
        if self._timeouts >= TIMEOUTS:
            return None
        text = self._rests.get(stream, "") + data.decode("utf-8", errors="replace")
        *lines, rest = text.replace("\r", "\n").split("\n")
        self._rests[stream] = rest[-MAX_LINE:]
        # A bar is redrawn without an end of line: what stands there counts already.
        found = self._newest(_few([*lines, rest]))
        return None if found is None else self._with_rate(Progress(percent=found[0], text=found[1], at=at))

    def _newest(self, lines: Iterable[str]) -> tuple[float, str] | None:
        newest = None
        end = self._clock() + PIECE_SECONDS
        for line in lines:
            if self._clock() > end:
                break
            try:
                groups = self._pattern.find(line)
            except TimeoutError:
                self._timeouts += 1
                if self._timeouts == TIMEOUTS:
                    log.warning("a `progress` expression takes too long; this job shows no progress")
                break
            if groups:
                self._known |= groups
                percent = _percent(self._known) if groups.keys() & {"percent", "n"} else None
                newest = newest if percent is None else (percent, _shown(line))
        return newest

    def _with_rate(self, now: Progress) -> Progress:
        first = self._first
        if first is None or now.percent < first.percent:
            self._first = now  # also where a tool begins anew, for its next file
            return now
        seconds, gained = (now.at - first.at).total_seconds(), now.percent - first.percent
        if seconds < RATE_SECONDS or gained <= 0:
            return now
        try:
            left = timedelta(seconds=seconds * (100.0 - now.percent) / gained)
            return replace(now, eta=now.at + left)
        except OverflowError:  # so slow that it ends after all calendars
            return now


def _few(lines: list[str]) -> list[str]:
    if len(lines) <= MAX_LINES:
        return lines
    return lines[:FIRST_LINES] + lines[FIRST_LINES - MAX_LINES :]


def _percent(groups: Mapping[str, str]) -> float | None:
    try:
        if "percent" in groups:
            percent = _number(groups["percent"])
        else:
            percent = 100.0 * _number(groups["n"]) / _number(groups["total"])
    except (KeyError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return round(min(100.0, max(0.0, percent)), 2)


def _number(text: str) -> float:
    """Also a clock, as `00:01:40.5`."""
    value = 0.0
    for part in text.split(":"):
        value = value * 60 + float(part.replace(",", ""))
    return value


def _shown(line: str) -> str:
    return "".join(c for c in line[:MAX_LINE].strip() if c.isprintable())[:MAX_TEXT]
