"""The rules of a schedule against the schedule itself: every edge of a year, and no other moment."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from batchd_flows.names import WINDOWS_POOL, pool_name
from batchd_flows.window_rules import Edge, EdgeRule, edge_rules, edges_text
from batchd_flows.windows import WEEKDAYS, Period, Schedule, is_open, next_change, parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [ZoneInfo("UTC"), BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]
YEAR = timedelta(days=366)
HOUR = timedelta(hours=1)


def schedule(*periods: tuple[str, str], days: list[str] | None = None) -> Schedule:
    return parse_schedule("s", days, [{"begin": begin, "end": end} for begin, end in periods])


def said(*periods: tuple[str, str], days: list[str] | None = None) -> str:
    return edges_text(edge_rules(schedule(*periods, days=days)))


def test_a_period_is_two_rules_with_a_list_of_days() -> None:
    opening, closing = edge_rules(schedule(("08:00", "17:30"), days=["Monday", "Wednesday"]))
    assert (opening.slug, closing.slug) == ("opens-0800", "closes-1730")
    assert opening.rrule == (
        "DTSTART:20200101T000000\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=8;BYMINUTE=0;BYSECOND=0"
    )
    assert closing.rrule.endswith("BYDAY=MO,WE;BYHOUR=17;BYMINUTE=30;BYSECOND=0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (said(("22:00", "06:00"), days=[*WEEKDAYS[:5]]), "opens Mon–Fri 22:00, closes Tue–Sat 06:00"),
        (said(("22:00", "06:00")), "opens daily 22:00, closes daily 06:00"),
        (said(("22:00", "06:00"), days=["Sunday"]), "opens Sun 22:00, closes Mon 06:00"),
        (said(("20:00", "00:00"), days=["Sunday"]), "opens Sun 20:00, closes Mon 00:00"),
        (said(("00:00", "00:00"), days=["Saturday", "Sunday"]), "opens Sat 00:00, closes Mon 00:00"),
        (said(days=["Monday", "Sunday"]), "opens Sun 00:00, closes Tue 00:00"),
        (said(("08:00:30", "12:00"), ("13:00", "17:00"), days=["Monday", "Wednesday"]),
         "opens Mon, Wed 08:00:30 and Mon, Wed 13:00, closes Mon, Wed 12:00 and Mon, Wed 17:00"),
    ],
)  # fmt: skip
def test_edges_are_said_on_the_day_on_which_they_come(text: str, expected: str) -> None:
    assert text == expected


def test_periods_that_touch_or_overlap_have_no_edge_between_them() -> None:
    assert said(("08:00", "12:00"), ("12:00", "14:00"), ("13:00", "17:00")) == (
        "opens daily 08:00, closes daily 17:00"
    )
    assert said(("20:00", "00:00"), ("00:00", "04:00")) == "opens daily 20:00, closes daily 04:00"


@pytest.mark.parametrize(
    "always",
    [
        Schedule(name="s"),
        schedule(("00:00", "00:00")),
        schedule(days=list(WEEKDAYS)),
        schedule(("00:00", "12:00"), ("12:00", "00:00")),
        schedule(("06:00", "18:00"), ("18:00", "06:00")),
    ],
)
def test_what_is_always_open_has_no_rules(always: Schedule) -> None:
    assert edge_rules(always) == ()
    assert edges_text(()) == "is always open"


def test_the_pool_of_windows_is_no_queues() -> None:
    """A queue may well be called so."""
    assert pool_name("windows") != WINDOWS_POOL
    assert pool_name("windows").startswith("batchd-windows-")


# --- against the schedule ---

TIMES = st.sampled_from([time(0), time(1, 30), time(2), time(2, 30), time(3), time(22)]) | st.integers(
    0, 24 * 60 - 1
).map(lambda n: time(n // 60, n % 60))
PERIODS = (
    st.tuples(TIMES, TIMES)
    .filter(lambda pair: pair[0] != pair[1] or pair[0] == time(0))
    .map(lambda pair: Period(begin=pair[0], end=pair[1]))
)
SCHEDULES = st.builds(
    Schedule,
    name=st.just("s"),
    weekdays=st.none() | st.frozensets(st.integers(0, 6), min_size=1),
    periods=st.none() | st.lists(PERIODS, min_size=1, max_size=4).map(tuple),
)


@cache
def clock_changes(zone: ZoneInfo, start: datetime) -> list[datetime]:
    """Wall-clock hours around which the zone's offset changes, in a year and a little more."""
    hours = [start + n * HOUR for n in range(-48, 24 * 368)]
    return [
        hour.astimezone(zone).replace(tzinfo=None)
        for hour in hours
        if hour.astimezone(zone).utcoffset() != (hour + HOUR).astimezone(zone).utcoffset()
    ]


def changes(window: Schedule, start: datetime, end: datetime, zone: ZoneInfo) -> set[tuple[Edge, datetime]]:
    """When it opens and closes, by the wall clock."""
    found: set[tuple[Edge, datetime]] = set()
    at = next_change(window, start, zone)
    while at is not None and at < end:
        edge = Edge.OPENS if is_open(window, at, zone) else Edge.CLOSES
        found.add((edge, at.astimezone(zone).replace(tzinfo=None)))
        at = next_change(window, at, zone)
    return found


def occurrences(rules: tuple[EdgeRule, ...], start: datetime, end: datetime) -> set[tuple[Edge, datetime]]:
    return {
        (rule.edge, moment) for rule in rules for moment in rrulestr(rule.rrule).between(start, end, inc=True)
    }


def compare(window: Schedule, start: datetime, length: timedelta, zone: ZoneInfo) -> None:
    """Equal, but for what is near a clock change or an end of the time looked at."""
    end = start + length
    first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (start, end))
    blurred = [*clock_changes(zone, start), first, last]

    def clear(edges: set[tuple[Edge, datetime]]) -> set[tuple[Edge, datetime]]:
        return {(edge, at) for edge, at in edges if all(abs(at - moment) > 3 * HOUR for moment in blurred)}

    seen = changes(window, start, end, zone)
    assert clear(seen) == clear(occurrences(edge_rules(window), first, last))


@settings(max_examples=15, deadline=None)
@given(SCHEDULES, st.sampled_from(ZONES))
def test_over_a_year_the_rules_name_every_edge_and_nothing_else(window: Schedule, zone: ZoneInfo) -> None:
    compare(window, datetime(2026, 1, 7, 12, tzinfo=UTC), YEAR, zone)


@settings(max_examples=60, deadline=None)
@given(SCHEDULES, st.dates(date(2026, 1, 1), date(2027, 12, 31)), st.sampled_from(ZONES))
def test_in_any_fortnight_the_rules_name_every_edge(window: Schedule, day: date, zone: ZoneInfo) -> None:
    compare(window, datetime.combine(day, time(0), UTC), timedelta(days=14), zone)


@given(SCHEDULES)
def test_rules_are_few_and_each_has_a_slug_of_its_own(window: Schedule) -> None:
    rules = edge_rules(window)
    assert len(rules) <= 2 * len(window.periods or (None,))
    assert len({rule.slug for rule in rules}) == len(rules)
    assert {rule.edge for rule in rules} == (set(Edge) if rules else set())


def test_an_hour_that_is_skipped_has_its_edge_within_an_hour_or_two() -> None:
    """Where the clock jumps from 02:00 to 03:00 the window opens at 03:00; a rule can only say 02:30."""
    window = schedule(("02:30", "12:00"))
    start = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    opens = next_change(window, start, BERLIN)
    assert opens == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    named = occurrences(edge_rules(window), datetime(2026, 3, 29), datetime(2026, 3, 29, 6))
    assert named == {(Edge.OPENS, datetime(2026, 3, 29, 2, 30))}
