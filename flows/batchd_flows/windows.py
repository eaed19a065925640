"""Schedules: when a queue may start jobs, by the wall clock of the installation's zone.

A moment is in a period when the wall clock shows a time of it: begin inclusive, end exclusive, an end of
`00:00:00` being midnight. A period whose begin is after its end runs over midnight and belongs to the weekday
on which it begins. So an hour that a clock change skips is skipped, and one that comes twice counts twice: a
period that ends in that hour closes, opens again when the hour comes again, and closes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from batchd_flows.errors import FlowsError

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MAX_PERIODS = 100

_MIDNIGHT = time(0)
_DAY = timedelta(days=1)
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
# A schedule repeats each week; a clock change may hide one week's only opening, or its only pause.
_NEAR_DAYS, _FAR_DAYS = 4, 18


class ScheduleError(FlowsError):
    """A schedule cannot be used: which field, and why."""

    def __init__(self, name: str, field: str, sentence: str) -> None:
        super().__init__(f"schedule {name!r}, {field}: {sentence}")
        self.name = name
        self.field = field
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class Period:
    """A stretch of the day; equal times are the whole day, and then both are midnight."""

    begin: time
    end: time

    def wall_clock(self, day: date) -> tuple[datetime, datetime]:
        """Its begin and end, naive, where it begins on this day."""
        last = day + _DAY if self.end <= self.begin else day
        return datetime.combine(day, self.begin), datetime.combine(last, self.end)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """`weekdays`: 0 is Monday, None every day. `periods`: None all day."""

    name: str
    weekdays: frozenset[int] | None = None
    periods: tuple[Period, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Opening:
    """From `begin` to before `end`, both aware; an `end` of None never comes."""

    begin: datetime
    end: datetime | None


# --- questions ---


def is_open(schedule: Schedule, at: datetime, zone: ZoneInfo) -> bool:
    """Whether it is open at this moment; at the very ends of the calendar only what is always open is."""
    if schedule.weekdays is None and schedule.periods is None:
        return True
    try:
        wall = at.astimezone(zone).replace(tzinfo=None)
        return any(
            begin <= wall < end
            for day in (wall.date(), wall.date() - _DAY)
            for begin, end in _wall_clock_periods(schedule, day)
        )
    except OverflowError:
        return False


def next_opening(schedule: Schedule, after: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment from `after` on at which it is open, `after` itself if it is; None: there is none."""
    return after if is_open(schedule, after, zone) else next_change(schedule, after, zone)


def next_change(schedule: Schedule, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment after `at` at which it opens or closes, in UTC; None if it stays as it is."""
    if schedule.weekdays is None and schedule.periods is None:
        return None
    now_open = is_open(schedule, at, zone)
    for days in (_NEAR_DAYS, _FAR_DAYS):
        try:
            edges = _edges(schedule, at, zone, days)
        except OverflowError:  # the calendar ends before
            return None
        for edge in edges:
            if is_open(schedule, edge, zone) != now_open:
                return edge
    return None


def openings(schedule: Schedule, after: datetime, zone: ZoneInfo, count: int) -> list[Opening]:
    """The next `count` openings, touching periods as one; one that is open at `after` begins there."""
    return list(islice(_openings(schedule, after, zone), count))


def _openings(schedule: Schedule, after: datetime, zone: ZoneInfo) -> Iterator[Opening]:
    begin = next_opening(schedule, after, zone)
    while begin is not None:
        end = next_change(schedule, begin, zone)
        yield Opening(begin=begin, end=end)
        begin = None if end is None else next_opening(schedule, end, zone)


def sentence(schedule: Schedule, now: datetime, zone: ZoneInfo) -> str:
    """What a person wants to know of it now: "night opens at 22:00"."""
    change = next_change(schedule, now, zone)
    now_open = is_open(schedule, now, zone)
    if change is None:
        return f"{schedule.name} is always open" if now_open else f"{schedule.name} never opens"
    verb = "closes" if now_open else "opens"
    local = change.astimezone(zone)
    clock = local.strftime("%H:%M:%S").removesuffix(":00")
    is_today = local.date() == now.astimezone(zone).date()
    day = "" if is_today else f" on {WEEKDAYS[local.weekday()]} {local.date()}"
    return f"{schedule.name} {verb} at {clock}{day}"


# --- edges ---


def _wall_clock_periods(schedule: Schedule, day: date) -> Iterator[tuple[datetime, datetime]]:
    """The naive begins and ends of what begins on this day."""
    if schedule.weekdays is None or day.weekday() in schedule.weekdays:
        for period in schedule.periods or (Period(begin=_MIDNIGHT, end=_MIDNIGHT),):
            yield period.wall_clock(day)


def _edges(schedule: Schedule, after: datetime, zone: ZoneInfo, days: int) -> list[datetime]:
    """Every moment within `days` after `after` at which something might change, in order.

    Those are begins, ends and clock changes. A naive time stands for two moments where the clock shows it
    twice; where it is skipped, for moments at which nothing happens, and the clock change itself is the edge.
    """
    start = after.astimezone(UTC)
    first = after.astimezone(zone).date() - 2 * _DAY
    edges = {
        edge.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        for number in range(days + 5)
        for period in _wall_clock_periods(schedule, first + number * _DAY)
        for edge in period
        for fold in (0, 1)
    }
    for number in range(days + 1):
        edges.update(_clock_changes(zone, start.date() + number * _DAY))
    return sorted(edge for edge in edges if start < edge <= start + days * _DAY)


@lru_cache(maxsize=4096)
def _clock_changes(zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """The moments of this UTC day at which the zone's offset changes."""
    midnight = datetime.combine(day, _MIDNIGHT, UTC)
    steps = [midnight + timedelta(hours=hours) for hours in range(0, 25, 3)]
    return tuple(
        _clock_change(zone, before, behind)
        for before, behind in pairwise(steps)
        if _offset(zone, before) != _offset(zone, behind)
    )


def _clock_change(zone: ZoneInfo, before: datetime, behind: datetime) -> datetime:
    """The first second with the new offset, between two moments with different ones."""
    old, seconds = _offset(zone, before), int((behind - before).total_seconds())
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + timedelta(seconds=middle)) == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


# --- the REST form ---


def parse_schedule(name: str, weekdays: object, time: object) -> Schedule:
    """From the REST record's fields: a list of English day names, a list of begins and ends; null for any."""
    return Schedule(name=name, weekdays=_parse_weekdays(name, weekdays), periods=_parse_periods(name, time))


def schedule_record(schedule: Schedule) -> dict[str, Any]:
    """The REST record."""
    weekdays, periods = schedule.weekdays, schedule.periods
    return {
        "name": schedule.name,
        "weekdays": None if weekdays is None else [WEEKDAYS[day] for day in sorted(weekdays)],
        "time": None
        if periods is None
        else [{"begin": period.begin.isoformat(), "end": period.end.isoformat()} for period in periods],
    }


def _parse_weekdays(name: str, given: object) -> frozenset[int] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        raise ScheduleError(name, "weekdays", "a list of days is wanted, or null for every day")
    days = set()
    for day in given:
        if not isinstance(day, str) or day.capitalize() not in WEEKDAYS:
            raise ScheduleError(name, "weekdays", f"{_shown(day)} is no day; days are {', '.join(WEEKDAYS)}")
        days.add(WEEKDAYS.index(day.capitalize()))
    return frozenset(days)


def _parse_periods(name: str, given: object) -> tuple[Period, ...] | None:
    if given is None or given == []:
        return None
    if not isinstance(given, list):
        raise ScheduleError(name, "time", "a list of periods is wanted, or null for the whole day")
    if len(given) > MAX_PERIODS:
        raise ScheduleError(name, "time", f"a schedule has at most {MAX_PERIODS} periods")
    return tuple(_parse_period(name, period) for period in given)


def _parse_period(name: str, given: object) -> Period:
    if not isinstance(given, Mapping) or not {"begin", "end"} <= given.keys():
        raise ScheduleError(name, "time", f'{_shown(given)} is no period; it needs a "begin" and an "end"')
    begin, end = _parse_time(name, given["begin"]), _parse_time(name, given["end"])
    if begin == end != _MIDNIGHT:
        why = "the whole day is 00:00:00 to 00:00:00"
        raise ScheduleError(name, "time", f"a period begins and ends at {begin.isoformat()}; {why}")
    return Period(begin=begin, end=end)


def _parse_time(name: str, given: object) -> time:
    match = _TIME.fullmatch(given) if isinstance(given, str) else None
    try:
        return time(int(match[1]), int(match[2]), int(match[3] or 0))  # type: ignore[index]
    except (TypeError, ValueError):
        hint = "; midnight is 00:00:00" if str(given).startswith("24:") else ""
        raise ScheduleError(name, "time", f"{_shown(given)} is no time like 22:00:00{hint}") from None


def _shown(given: object) -> str:
    """Somebody's value for a sentence: escaped, and no longer than a line."""
    text = ascii(given)
    return text if len(text) <= 60 else text[:57] + "..."
