"""TIME: every form of the contract, at a fixed moment in a zone with clock changes."""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from batchd_cli.errors import TimeSyntaxError
from batchd_cli.record import format_time
from batchd_cli.times import Clock, parse

# Tuesday, 24 November 2026, 15:30:12 on the wall in Berlin (one hour ahead of UTC)
NOW = datetime(2026, 11, 24, 14, 30, 12, tzinfo=UTC)
BERLIN = Clock(now=NOW, zone=ZoneInfo("Europe/Berlin"))

FORMS = {
    "2026-11-24 22:00": "2026-11-24 22:00:00",
    "2026-11-24T22:00": "2026-11-24 22:00:00",
    "2026-11-24": "2026-11-24 00:00:00",
    "22:00": "2026-11-24 22:00:00",
    "22:00:05": "2026-11-24 22:00:05",
    "tomorrow 6:00": "2026-11-25 06:00:00",
    "tomorrow at 6:00": "2026-11-25 06:00:00",
    "6:00 tomorrow": "2026-11-25 06:00:00",
    "+2 hours": "2026-11-24 17:30:12",
    "+3h": "2026-11-24 18:30:12",
    "+ 3 h": "2026-11-24 18:30:12",
    "+1h30m": "2026-11-24 17:00:12",
    "+90 minutes": "2026-11-24 17:00:12",
    "in 2 hours and 5 minutes": "2026-11-24 17:35:12",
    "24.11": "2026-11-24 00:00:00",
    "24.11.": "2026-11-24 00:00:00",
    "1.12 22:00": "2026-12-01 22:00:00",
    "24.11.2026": "2026-11-24 00:00:00",
    "24.11.2026 10:30": "2026-11-24 10:30:00",
    "24.11.2026 10:30:05": "2026-11-24 10:30:05",
    "2026/11/30": "2026-11-30 00:00:00",
    "2026/11/30 10:30 pm": "2026-11-30 22:30:00",
    "11/30": "2026-11-30 00:00:00",
    "11/30 5:00": "2026-11-30 05:00:00",
    "24 November 2026": "2026-11-24 00:00:00",
    "24 November 2027 9:15": "2027-11-24 09:15:00",
    "24 nov": "2026-11-24 00:00:00",
    "24 Nov 22:00": "2026-11-24 22:00:00",
    "3 mar": "2026-03-03 00:00:00",
    "1 may": "2026-05-01 00:00:00",
    "November 24 at 9:15 pm": "2026-11-24 21:15:00",
    "Nov 24, 2026": "2026-11-24 00:00:00",
    "10:00 pm": "2026-11-24 22:00:00",
    "10 pm": "2026-11-24 22:00:00",
    "10pm": "2026-11-24 22:00:00",
    "12:00 am": "2026-11-24 00:00:00",
    "12:30 pm": "2026-11-24 12:30:00",
    "noon": "2026-11-24 12:00:00",
    "today": "2026-11-24 15:30:12",
    "tomorrow": "2026-11-25 15:30:12",
    "yesterday": "2026-11-23 15:30:12",
    "today 22:00": "2026-11-24 22:00:00",
    "in 2 days": "2026-11-26 15:30:12",
    "in 2 days 6:00": "2026-11-26 06:00:00",
    "in 2 weeks": "2026-12-08 15:30:12",
    "in 2 months": "2027-01-24 15:30:12",
    "in 2 years": "2028-11-24 15:30:12",
    "3 days ago": "2026-11-21 15:30:12",
    "2 weeks ago": "2026-11-10 15:30:12",
    "next monday": "2026-11-30 00:00:00",
    "next tuesday": "2026-12-01 00:00:00",
    "next friday 22:00": "2026-11-27 22:00:00",
    "last monday": "2026-11-23 00:00:00",
    "last tuesday": "2026-11-17 00:00:00",
    "next week": "2026-11-30 00:00:00",
    "last week": "2026-11-16 00:00:00",
    "next month": "2026-12-01 00:00:00",
    "last month": "2026-10-01 00:00:00",
    "next year": "2027-01-01 00:00:00",
    "last year": "2025-01-01 00:00:00",
    "friday": "2026-11-27 00:00:00",
    "monday 9am": "2026-11-30 09:00:00",
    "  TOMORROW   6:00 ": "2026-11-25 06:00:00",
}


@pytest.mark.parametrize(("text", "wall"), FORMS.items())
def test_a_form_of_the_contract_is_that_local_time(text: str, wall: str) -> None:
    found = parse(text, BERLIN)
    assert found is not None
    assert f"{found.astimezone(BERLIN.zone):%Y-%m-%d %H:%M:%S}" == wall


@pytest.mark.parametrize("text", ["any", "now", "anytime", "ANY", " now "])
def test_a_word_for_no_time_clears(text: str) -> None:
    assert parse(text, BERLIN) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "a", "foo", "+", "next", "nov", "midnight", "\x00"),
        *("25:00", "22:61", "13 pm", "0:00 am", "24 nov 25:00"),
        *("31.02", "13/01", "2026-13-01", "31 feb", "32 november"),
        *("+2 parsecs", "2 days", "in 2", "in 2 days ago", "+99999999999 days", "tomorrow tomorrow"),
    ],
)
def test_what_is_no_time_is_an_error_and_never_a_guess(text: str) -> None:
    with pytest.raises(TimeSyntaxError):
        parse(text, BERLIN)


def test_on_the_wire_it_is_utc_with_z_and_six_digits() -> None:
    found = parse("2026-11-24 22:00", BERLIN)
    assert found is not None
    assert format_time(found) == "2026-11-24T21:00:00.000000Z"


def test_a_time_with_a_zone_is_of_that_zone() -> None:
    assert parse("2026-11-24T22:00:00Z", BERLIN) == datetime(2026, 11, 24, 22, tzinfo=UTC)
    assert parse("2026-11-24 22:00:00+05:00", BERLIN) == datetime(2026, 11, 24, 17, tzinfo=UTC)


def test_hours_are_hours_and_days_are_the_calendars_over_a_clock_change() -> None:
    evening = Clock(
        now=datetime(2026, 10, 24, 20, tzinfo=UTC), zone=BERLIN.zone
    )  # 22:00; clocks go back at 3
    assert parse("+8 hours", evening) == datetime(2026, 10, 25, 4, tzinfo=UTC)
    assert parse("in 1 day", evening) == datetime(2026, 10, 25, 21, tzinfo=UTC)


def test_an_hour_that_the_clock_change_leaves_out_is_the_next_one() -> None:
    assert parse("2027-03-28 02:30", BERLIN) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


def test_without_a_zone_it_is_the_systems_with_its_clock_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert parse("2027-07-01 12:00", Clock(now=NOW)) == datetime(2027, 7, 1, 10, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()
