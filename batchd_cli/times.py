"""What people write for a time, in local time, to a moment in UTC.

Numbers and relations are read here; dates in words by dateparser (`word_dates`). A day without a time is its
midnight, a time without a day is today's, and `today tomorrow yesterday` keep the time of day as the original
did. Times are "aware" at both ends; in between they are the wall clock's, so that a night with a clock change
comes out right.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from dateutil.relativedelta import relativedelta

from batchd_cli.errors import TimeSyntaxError
from batchd_cli.lazy import heavy

CLEARING = frozenset({"any", "now", "anytime"})
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The moment and the zone that a text is read in; zone None is the system's, with its clock changes."""

    now: datetime
    zone: tzinfo | None = None

    @property
    def wall(self) -> datetime:
        return self.now.astimezone(self.zone).replace(tzinfo=None)

    def moment(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone).astimezone(UTC)


def system_clock(zone: tzinfo | None = None) -> Clock:
    return Clock(now=datetime.now(UTC), zone=zone)


def parse(text: str, clock: Clock) -> datetime | None:
    """The moment in UTC; None for `any now anytime`. Errors: TimeSyntaxError."""
    words = " ".join(text.lower().split())
    if words in CLEARING:
        return None
    try:
        found = _with_zone(words) or _duration(words, clock) or _wall_time(words, clock)
    except (ValueError, OverflowError) as error:
        raise TimeSyntaxError(text) from error
    if found is None:
        raise TimeSyntaxError(text)
    return found


def _with_zone(words: str) -> datetime | None:
    """`2026-11-24T22:00:00Z`, as programs write it."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[t ]\S+(z|[+-]\d\d:?\d\d)", words):
        return None
    return datetime.fromisoformat(words.upper()).astimezone(UTC)


_UNITS = {
    "seconds": r"s|secs?|seconds?",
    "minutes": r"m|mins?|minutes?",
    "hours": r"h|hrs?|hours?",
    "days": r"d|days?",
    "weeks": r"w|weeks?",
    "months": r"months?",
    "years": r"y|years?",
}
_AMOUNT = re.compile(r"(\d+) ?([a-z]+)(?: and |, ?| )?")
_DURATION = re.compile(rf"(?P<sign>\+ ?|in )?(?P<amounts>(?:{_AMOUNT.pattern})+?)(?P<ago> ?ago)?")


def _duration(words: str, clock: Clock) -> datetime | None:
    """`+2 hours`, `+1h30m`, `in 2 days`, `3 days ago`: hours are hours, days are the calendar's."""
    match = _DURATION.fullmatch(words)
    if not match or bool(match["sign"]) == bool(match["ago"]):
        return None
    amounts = dict.fromkeys(_UNITS, 0)
    for number, word in _AMOUNT.findall(match["amounts"]):
        unit = next((name for name, names in _UNITS.items() if re.fullmatch(names, word)), None)
        if unit is None:
            return None
        amounts[unit] += -int(number) if match["ago"] else int(number)
    exact = timedelta(**{unit: amounts.pop(unit) for unit in ("seconds", "minutes", "hours")})
    calendar = relativedelta(**amounts)  # type: ignore[arg-type]
    start = clock.moment(clock.wall + calendar) if any(amounts.values()) else clock.now.astimezone(UTC)
    return start + exact


_TIME = r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)?(?: ?(?P<half>am|pm))?"
_TIME_LAST = re.compile(rf"(?:(?P<day>.*?\S)(?:,? at |[ t]|, ))??{_TIME}")
_TIME_FIRST = re.compile(rf"{_TIME},? (?:on )?(?P<day>\S.*)")


def _wall_time(words: str, clock: Clock) -> datetime | None:
    words = re.sub(r"\bnoon\b", "12:00", words)  # "midnight" is of two days, so it stays an error
    for pattern in (_TIME_LAST, _TIME_FIRST):
        match = pattern.fullmatch(words)
        if match and (match["minute"] or match["half"]):
            day = _day(match["day"], clock.wall) if match["day"] else clock.wall
            return clock.moment(datetime.combine(day.date(), _time_of_day(match))) if day else None
    day = _day(words, clock.wall)
    return clock.moment(day) if day else None


def _time_of_day(match: re.Match[str]) -> time:
    hour, half = int(match["hour"]), match["half"]
    if half and not 1 <= hour <= 12:
        raise ValueError(match[0])
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return time(hour, int(match["minute"] or 0), int(match["second"] or 0))


def _day(words: str, now: datetime) -> datetime | None:
    for pattern, read in _DAYS:
        match = pattern.fullmatch(words)
        if match:
            return read(match, now)
    found: date | None = heavy("word_dates").parse(words, now) if re.search("[a-z]{3}", words) else None
    return _midnight(found) if found else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _numbers(match: re.Match[str], now: datetime) -> datetime:
    year = int(match.groupdict().get("year") or now.year)
    return datetime(year, int(match["month"]), int(match["day"]))


def _named_day(match: re.Match[str], now: datetime) -> datetime:
    return now + timedelta(days=("yesterday", "today", "tomorrow").index(match[0]) - 1)


def _ahead(match: re.Match[str], now: datetime) -> datetime:
    """`next` begins with the next one after today, `last` is the whole one before."""
    word, today = match["word"], _midnight(now.date())
    step = -1 if match["which"] == "last" else 1
    if word == "week":
        return today + timedelta(days=-today.weekday(), weeks=step)
    if word == "month":
        return today.replace(day=1) + relativedelta(months=step)
    if word == "year":
        return today.replace(month=1, day=1) + relativedelta(years=step)
    return _weekday(word, today, step)


def _weekday(word: str, today: datetime, step: int) -> datetime:
    distance = (WEEKDAYS.index(word) - today.weekday()) * step % 7 or 7
    return today + timedelta(days=step * distance)


def _coming(match: re.Match[str], now: datetime) -> datetime:
    return _weekday(match["word"], _midnight(now.date()), 1)


def _in_days(match: re.Match[str], now: datetime) -> datetime | None:
    found = _duration(match[0], Clock(now=now.replace(tzinfo=UTC), zone=UTC))
    return found.replace(tzinfo=None) if found else None


_Reader = Callable[[re.Match[str], datetime], datetime | None]
_DAYS: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (re.compile(r"(?P<year>\d{4})([-/])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"), _numbers),
    (re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})"), _numbers),
    (re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})(?:\.(?P<year>\d{4})?)?"), _numbers),
    (re.compile("today|tomorrow|yesterday"), _named_day),
    (re.compile(rf"(?P<which>next|last) (?P<word>week|month|year|{'|'.join(WEEKDAYS)})"), _ahead),
    (re.compile(rf"(?P<word>{'|'.join(WEEKDAYS)})"), _coming),
    (re.compile(r"in \d.*|\+.*|.* ago"), _in_days),
)
