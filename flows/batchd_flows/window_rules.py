"""A schedule's openings and closings as recurrence rules, for whoever shows people a calendar.

A rule speaks wall clock, as a schedule does. Periods that touch or overlap have no edge between them, so a
rule names only moments at which the window really opens or closes. Around a clock change it may miss by an
hour or name one of two moments: an edge is a hint to look, the schedule itself says what holds.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from itertools import groupby

from batchd_flows.windows import WEEKDAYS, Period, Schedule

_DAY = 24 * 60 * 60
_WEEK = 7 * _DAY
# Said outright, so that the rule comes back from Prefect as it was written; any old midnight will do.
_ANCHOR = "DTSTART:20200101T000000"


class Edge(StrEnum):
    OPENS = "opens"
    CLOSES = "closes"


@dataclass(frozen=True, kw_only=True)
class EdgeRule:
    """One edge, each week, on these weekdays (0 is Monday) at this time of the wall clock."""

    edge: Edge
    at: time
    weekdays: frozenset[int]

    @property
    def slug(self) -> str:
        """`opens-2200`: another one for each rule of a schedule."""
        return f"{self.edge}-{self.at.strftime('%H%M%S' if self.at.second else '%H%M')}"

    @property
    def rrule(self) -> str:
        days = ",".join(WEEKDAYS[day][:2].upper() for day in sorted(self.weekdays))
        at = f"BYHOUR={self.at.hour};BYMINUTE={self.at.minute};BYSECOND={self.at.second}"
        return f"{_ANCHOR}\nRRULE:FREQ=WEEKLY;BYDAY={days};{at}"

    def __str__(self) -> str:
        return f"{_days_text(self.weekdays)} {self.at.strftime('%H:%M:%S').removesuffix(':00')}"


def edge_rules(schedule: Schedule) -> tuple[EdgeRule, ...]:
    """At most two rules a period, openings first; none for what is always open."""
    open_times = _merged(_open_times(schedule))
    edges = {
        Edge.OPENS: [begin for begin, _ in open_times],
        Edge.CLOSES: [end for _, end in open_times],
    }
    return tuple(rule for edge, seconds in edges.items() for rule in _rules(edge, seconds))


def edges_text(rules: Collection[EdgeRule]) -> str:
    """`opens Mon–Fri 22:00, closes Tue–Sat 06:00`."""
    if not rules:
        return "is always open"
    said = {edge: " and ".join(str(rule) for rule in rules if rule.edge is edge) for edge in Edge}
    return ", ".join(f"{edge} {text}" for edge, text in said.items())


def _rules(edge: Edge, week_seconds: Collection[int]) -> Iterator[EdgeRule]:
    def time_of_day(second: int) -> int:
        return second % _DAY

    for second, same_time in groupby(sorted(week_seconds, key=time_of_day), key=time_of_day):
        at = time(second // 3600, second // 60 % 60, second % 60)
        yield EdgeRule(edge=edge, at=at, weekdays=frozenset(at // _DAY % 7 for at in same_time))


def _open_times(schedule: Schedule) -> Iterator[tuple[int, int]]:
    """Begin and end of each period in seconds of the week; what runs over its end is split there."""
    for day in range(7) if schedule.weekdays is None else schedule.weekdays:
        for period in schedule.periods or (Period(begin=time(0), end=time(0)),):
            begin = day * _DAY + _second(period.begin)
            end = day * _DAY + _second(period.end) + (_DAY if period.end <= period.begin else 0)
            yield begin, min(end, _WEEK)
            if end > _WEEK:
                yield 0, end - _WEEK


def _merged(open_times: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without touching and overlapping ones, round the end of the week too; the whole week is none."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(open_times):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    if merged[0][0] == 0 and merged[-1][1] == _WEEK:
        (_, end), *others = merged
        return [*others[:-1], (others[-1][0], end)] if others else []
    return merged


def _second(at: time) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second


def _days_text(weekdays: Collection[int]) -> str:
    """`Mon–Fri, Sun`; `daily` for all."""
    if len(weekdays) == len(WEEKDAYS):
        return "daily"
    parts: list[list[int]] = []
    for day in sorted(weekdays):
        if parts and parts[-1][-1] == day - 1:
            parts[-1].append(day)
        else:
            parts.append([day])
    return ", ".join(_part_text([WEEKDAYS[day][:3] for day in part]) for part in parts)


def _part_text(names: list[str]) -> str:
    return f"{names[0]}–{names[-1]}" if len(names) > 2 else ", ".join(names)
