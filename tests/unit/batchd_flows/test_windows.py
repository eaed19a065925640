"""When a queue is open: the cases E of FAULTS.md, and a model that asks the wall clock minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchd_flows.windows import (
    WEEKDAYS,
    Opening,
    Period,
    Schedule,
    ScheduleError,
    is_open,
    next_change,
    next_opening,
    openings,
    parse_schedule,
    schedule_record,
    sentence,
)

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "UTC",
        "America/Santiago",
    )
]
MINUTE = timedelta(minutes=1)


def night(weekdays=None, begin="22:00:00", end="06:00:00") -> Schedule:
    return parse_schedule("night", weekdays, [{"begin": begin, "end": end}])


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def test_e1_a_window_over_midnight_is_open_before_and_after_it_and_closed_at_noon():
    assert is_open(night(), berlin("2026-01-14T23:00:00"), BERLIN)
    assert is_open(night(), berlin("2026-01-15T05:00:00"), BERLIN)
    assert not is_open(night(), berlin("2026-01-15T12:00:00"), BERLIN)


def test_e2_begin_is_inside_and_end_is_outside_to_the_microsecond():
    tick = timedelta(microseconds=1)
    begin, end = berlin("2026-01-14T22:00:00"), berlin("2026-01-15T06:00:00")
    assert not is_open(night(), begin - tick, BERLIN)
    assert is_open(night(), begin, BERLIN)
    assert is_open(night(), end - tick, BERLIN)
    assert not is_open(night(), end, BERLIN)


def test_e3_a_window_in_the_hour_that_spring_skips_has_no_opening_that_day():
    window = night(begin="02:15:00", end="02:45:00")
    minutes = (berlin("2026-03-29T00:00:00").astimezone(UTC) + n * MINUTE for n in range(23 * 60))
    assert not any(is_open(window, minute, BERLIN) for minute in minutes)
    assert next_opening(window, berlin("2026-03-29T00:00:00"), BERLIN) == berlin("2026-03-30T02:15:00")


def test_e3_a_window_partly_in_the_skipped_hour_keeps_the_part_that_exists():
    window = night(begin="01:30:00", end="02:30:00")
    assert openings(window, berlin("2026-03-29T00:00:00"), BERLIN, 1) == [
        Opening(begin=datetime(2026, 3, 29, 0, 30, tzinfo=UTC), end=datetime(2026, 3, 29, 1, tzinfo=UTC))
    ]


def test_e4_a_window_in_the_hour_that_autumn_repeats_opens_twice():
    window = night(begin="02:15:00", end="02:45:00")
    first, second, third = openings(window, berlin("2026-10-25T00:00:00"), BERLIN, 3)
    assert (first.begin, first.end) == (
        datetime(2026, 10, 25, 0, 15, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 45, tzinfo=UTC),
    )
    assert second.begin == first.begin + timedelta(hours=1)
    assert second.end == datetime(2026, 10, 25, 1, 45, tzinfo=UTC)
    assert third.begin == berlin("2026-10-26T02:15:00")


def test_a_window_over_midnight_belongs_to_the_day_it_begins():
    friday = night(["Friday"])
    assert is_open(friday, berlin("2026-01-16T22:00:00"), BERLIN)
    assert is_open(friday, berlin("2026-01-17T05:59:59"), BERLIN)
    assert not is_open(friday, berlin("2026-01-16T05:00:00"), BERLIN)
    assert not is_open(friday, berlin("2026-01-17T22:00:00"), BERLIN)


def test_an_end_at_midnight_is_the_end_of_that_day():
    evening = night(["Monday"], "22:00:00", "00:00:00")
    assert openings(evening, berlin("2026-01-12T00:00:00"), BERLIN, 1) == [
        Opening(begin=berlin("2026-01-12T22:00:00"), end=berlin("2026-01-13T00:00:00"))
    ]


def test_no_periods_are_all_day_and_no_weekdays_every_day():
    anytime = parse_schedule("anytime", None, None)
    assert is_open(anytime, berlin("2026-03-29T04:00:00"), BERLIN)
    assert next_change(anytime, berlin("2026-03-29T04:00:00"), BERLIN) is None
    saturday = parse_schedule("saturday", ["Saturday"], None)
    assert openings(saturday, berlin("2026-01-12T00:00:00"), BERLIN, 1) == [
        Opening(begin=berlin("2026-01-17T00:00:00"), end=berlin("2026-01-18T00:00:00"))
    ]


def test_periods_that_touch_are_one_opening_and_those_that_fill_the_week_never_close():
    halves = [{"begin": "00:00:00", "end": "12:00:00"}, {"begin": "12:00:00", "end": "00:00:00"}]
    now = berlin("2026-03-28T12:00:00")
    assert openings(parse_schedule("always", None, halves), now, BERLIN, 5) == [Opening(begin=now, end=None)]
    weekend = parse_schedule("weekend", ["Saturday", "Sunday"], halves)
    assert openings(weekend, berlin("2026-03-26T00:00:00"), BERLIN, 1) == [
        Opening(begin=berlin("2026-03-28T00:00:00"), end=berlin("2026-03-30T00:00:00"))
    ]


def test_a_weekly_window_that_a_clock_change_hides_opens_a_week_later():
    sunday = night(["Sunday"], "02:15:00", "02:45:00")
    assert next_opening(sunday, berlin("2026-03-22T03:00:00"), BERLIN) == berlin("2026-04-05T02:15:00")


def test_a_day_that_begins_at_one_o_clock_keeps_its_window():
    santiago = ZoneInfo("America/Santiago")  # 2026-09-06 has no 00:00 to 01:00
    sunday = night(["Sunday"], "00:30:00", "02:00:00")
    [opening] = openings(sunday, datetime(2026, 9, 5, tzinfo=UTC), santiago, 1)
    assert opening.begin.astimezone(santiago).isoformat() == "2026-09-06T01:00:00-03:00"
    assert opening.end is not None
    assert opening.end - opening.begin == timedelta(hours=1)


@pytest.mark.parametrize("year", [1, 9999])
def test_e8_the_ends_of_the_calendar_are_answered_without_a_crash(year):
    at = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, 23, 30, tzinfo=UTC)
    for schedule in (night(), night(["Sunday"], "00:00:00", "00:00:00")):
        assert is_open(schedule, at, BERLIN) in (True, False)
        next_change(schedule, at, BERLIN)
        next_opening(schedule, at, BERLIN)
    assert is_open(parse_schedule("anytime", None, None), at, BERLIN)


@pytest.mark.parametrize(
    ("weekdays", "periods", "said"),
    [
        ([], None, "weekdays: a list of days is wanted"),
        ("Monday", None, "weekdays: a list of days is wanted"),
        (["Someday"], None, "'Someday' is no day"),
        ([1], None, "1 is no day"),
        (None, [{"begin": "07:00:00", "end": "07:00:00"}], "begins and ends at 07:00:00"),
        (None, [{"begin": "25:00:00", "end": "07:00:00"}], "'25:00:00' is no time"),
        (None, [{"begin": "07:00:00", "end": "24:00:00"}], "midnight is 00:00:00"),
        (None, [{"begin": "٠٧:00:00", "end": "08:00:00"}], "is no time"),
        (None, [{"begin": 7, "end": "08:00:00"}], "7 is no time"),
        (None, [{"begin": "07:00:00"}], 'it needs a "begin" and an "end"'),
        (None, ["07:00-08:00"], "is no period"),
        (None, "07:00", "time: a list of periods is wanted"),
        (None, [{"begin": "00:00:00", "end": "01:00:00"}] * 101, "at most 100 periods"),
    ],
)
def test_e9_a_schedule_that_means_nothing_is_refused_in_a_sentence(weekdays, periods, said):
    with pytest.raises(ScheduleError, match="schedule 'night', ") as caught:
        parse_schedule("night", weekdays, periods)
    assert said in str(caught.value)


def test_e9_midnight_to_midnight_is_the_whole_day():
    whole = night(["Monday"], "00:00:00", "00:00:00")
    assert openings(whole, berlin("2026-01-12T00:00:00"), BERLIN, 1) == [
        Opening(begin=berlin("2026-01-12T00:00:00"), end=berlin("2026-01-13T00:00:00"))
    ]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2026-01-12T12:00:00", "night opens at 22:00"),
        ("2026-01-12T23:00:00", "night closes at 06:00:30 on Tuesday 2026-01-13"),
        ("2026-01-13T12:00:00", "night opens at 22:00 on Monday 2026-01-19"),
    ],
)
def test_the_sentence_says_when_and_the_date_if_that_is_not_today(now, said):
    assert sentence(night(["Monday"], "22:00:00", "06:00:30"), berlin(now), BERLIN) == said


def test_the_sentence_of_a_schedule_that_never_changes():
    assert sentence(parse_schedule("anytime", None, None), berlin("2026-01-12T12:00:00"), BERLIN) == (
        "anytime is always open"
    )


# --- against a model ---

MINUTES = st.integers(0, 24 * 60 - 1).map(lambda n: time(n // 60, n % 60))
# Around clock changes, where mistakes live, and round times, where periods touch.
EDGY = st.sampled_from([time(0), time(1), time(1, 30), time(2), time(2, 15), time(2, 45), time(3), time(23)])
TIMES = EDGY | MINUTES
PERIODS = (
    st.tuples(TIMES, TIMES)
    .filter(lambda pair: pair[0] != pair[1] or pair[0] == time(0))
    .map(lambda pair: Period(begin=pair[0], end=pair[1]))
)
SCHEDULES = st.builds(
    Schedule,
    name=st.just("s"),
    weekdays=st.none() | st.frozensets(st.integers(0, 6), min_size=1),
    periods=st.none() | st.lists(PERIODS, min_size=1, max_size=3).map(tuple),
)
DAYS = st.sampled_from(
    [
        date(2026, 3, 28),  # Berlin, spring
        date(2026, 10, 24),  # Berlin, autumn
        date(2026, 3, 7),  # New York
        date(2026, 10, 31),
        date(2026, 4, 4),  # Lord Howe (half an hour) and Santiago (at midnight)
        date(2026, 10, 3),
        date(2026, 9, 5),
    ]
) | st.dates(date(2025, 1, 1), date(2027, 12, 31))


def model_is_open(schedule: Schedule, at: datetime, zone: ZoneInfo) -> bool:
    """The rule in other words: seconds of the day, a period over midnight as two halves."""
    local = at.astimezone(zone)
    today, yesterday = local.weekday(), (local.weekday() - 1) % 7
    now = local.hour * 3600 + local.minute * 60 + local.second
    for period in schedule.periods or (Period(begin=time(0), end=time(0)),):
        begin = period.begin.hour * 3600 + period.begin.minute * 60
        end = period.end.hour * 3600 + period.end.minute * 60
        days = schedule.weekdays if schedule.weekdays is not None else range(7)
        if begin < end:
            inside = today in days and begin <= now < end
        else:
            inside = (today in days and now >= begin) or (yesterday in days and now < end)
        if inside:
            return True
    return False


@cache
def minutes_of(day: date) -> list[datetime]:
    start = datetime.combine(day, time(0), UTC)
    return [start + n * MINUTE for n in range(60 * 60)]


@settings(max_examples=150, deadline=None)
@given(SCHEDULES, DAYS, st.sampled_from(ZONES))
def test_minute_by_minute_it_is_open_when_the_wall_clock_says_so(schedule, day, zone):
    minutes = minutes_of(day)
    states = [model_is_open(schedule, minute, zone) for minute in minutes]
    assert [is_open(schedule, minute, zone) for minute in minutes] == states
    # Minutes suffice: periods and clock changes are at whole ones.
    changes = [minutes[n] for n in range(1, len(minutes)) if states[n] != states[n - 1]]
    walked, at = [], minutes[0]
    while (change := next_change(schedule, at, zone)) is not None and change <= minutes[-1]:
        walked.append(change)
        at = change
    assert walked == changes


YEAR_MINUTES = 365 * 24 * 60
WEEK_MINUTES = 7 * 24 * 60


@cache
def year_of(zone: ZoneInfo) -> tuple[list[datetime], list[int]]:
    """Every minute of 2026 with all its clock changes, and which minute of the week the wall clock shows."""
    minutes = [datetime(2026, 1, 1, tzinfo=UTC) + n * MINUTE for n in range(YEAR_MINUTES)]
    local = (minute.astimezone(zone) for minute in minutes)
    return minutes, [(at.weekday() * 24 + at.hour) * 60 + at.minute for at in local]


def model_week(schedule: Schedule) -> bytes:
    """Which minutes of a week on the wall clock are open; one over midnight goes on into the next day."""
    week = bytearray(WEEK_MINUTES)
    for day in range(7) if schedule.weekdays is None else schedule.weekdays:
        for period in schedule.periods or (Period(begin=time(0), end=time(0)),):
            begin, end = (at.hour * 60 + at.minute for at in (period.begin, period.end))
            for minute in range(begin, end if begin < end else end + 24 * 60):
                week[(day * 24 * 60 + minute) % WEEK_MINUTES] = 1
    return bytes(week)


def compare_a_year(schedule: Schedule, zone: ZoneInfo) -> None:
    minutes, week_minutes = year_of(zone)
    states = bytes(map(model_week(schedule).__getitem__, week_minutes))
    assert bytes(is_open(schedule, minute, zone) for minute in minutes) == states
    at, walked = minutes[0], []
    while (change := next_change(schedule, at, zone)) is not None and change <= minutes[-1]:
        walked.append(change)
        at = change
    assert walked == [minutes[n] for n in range(1, YEAR_MINUTES) if states[n] != states[n - 1]]


def test_over_a_year_with_both_clock_changes_every_minute_is_as_the_wall_clock_says():
    """Of each kind of window one in one schedule; `slow` has any schedule in every zone."""
    times = (("22:00", "06:00"), ("02:15", "02:45"), ("09:00", "12:30"), ("12:30", "13:00"))
    periods = [{"begin": begin, "end": end} for begin, end in times]
    compare_a_year(parse_schedule("s", ["Sunday", "Monday", "Thursday"], periods), BERLIN)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES, ids=str)
@settings(max_examples=3, deadline=None)
@given(schedule=SCHEDULES)
def test_over_a_year_any_schedule_is_minute_by_minute_as_the_wall_clock_says(zone, schedule):
    compare_a_year(schedule, zone)


@settings(max_examples=100, deadline=None)
@given(SCHEDULES, DAYS, st.integers(0, 86_399_999_999), st.sampled_from(ZONES))
def test_openings_follow_each_other_and_nothing_is_open_between_them(schedule, day, microsecond, zone):
    after = datetime.combine(day, time(0), UTC) + timedelta(microseconds=microsecond)
    found = openings(schedule, after, zone, 4)
    assert found, "every schedule opens some time"
    assert found[0].begin == next_opening(schedule, after, zone)
    previous_end = after
    for opening in found:
        assert opening.begin >= previous_end
        assert is_open(schedule, opening.begin, zone)
        if opening.begin > previous_end:
            assert not is_open(schedule, opening.begin - timedelta(microseconds=1), zone)
            assert not is_open(schedule, previous_end + (opening.begin - previous_end) / 2, zone)
        if opening.end is None:
            assert opening is found[-1]
            return
        assert not is_open(schedule, opening.end, zone)
        previous_end = opening.end


@given(SCHEDULES)
def test_a_record_comes_back_as_the_schedule_it_was(schedule):
    record = schedule_record(schedule)
    assert parse_schedule(record["name"], record["weekdays"], record["time"]) == schedule
    assert record["weekdays"] is None or set(record["weekdays"]) <= set(WEEKDAYS)
