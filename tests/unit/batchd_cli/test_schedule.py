"""`batch schedule`."""

import json

import pytest

from .conftest import Batch, Manager

NIGHTLY = {
    "name": "nightly",
    "weekdays": ["Monday", "Friday"],
    "time": [{"begin": "22:00:00", "end": "06:00:00"}],
}
ANYTIME = {"name": "anytime", "weekdays": None, "time": None}


def test_it_shows_all_or_the_named_ones(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/schedule", [ANYTIME, NIGHTLY])
    assert batch("schedule").out == (
        "NAME     WEEKDAYS        TIME               NEXT\n"
        "anytime  any             any\n"
        "nightly  Monday, Friday  22:00:00 06:00:00\n"
    )
    assert "anytime" not in batch("schedule", "nightly").out
    assert batch("schedule", "nosuch").code == 5


@pytest.mark.parametrize(("line", "named"), [(["nightly", "openings"], "nightly"), (["openings"], "NAME")])
def test_openings_is_no_word_of_it_and_the_right_form_is_said(
    line: list[str], named: str, batch: Batch, manager: Manager
) -> None:
    manager.answer("GET", "/schedule", [ANYTIME, NIGHTLY])
    done = batch("schedule", *line)
    assert (done.code, done.out) == (5, "")
    assert f"Hint: `batch schedule {named} -c 5` shows" in done.err


def test_a_new_one_has_its_periods_and_days(batch: Batch, manager: Manager) -> None:
    manager.answer("POST", "/schedule", "nightly")
    line = ["-a", "-p", "22:00:00 06:00:00", "--period", "7:30 8:00", "-w", "monday", "--weekday", "FRI"]
    assert batch("schedule", "nightly", *line).code == 0
    assert manager.asked()[-1][2] == {
        "name": "nightly",
        "weekdays": ["Monday", "Friday"],
        "time": [{"begin": "22:00:00", "end": "06:00:00"}, {"begin": "07:30:00", "end": "08:00:00"}],
    }


def test_without_periods_and_days_it_is_any_time(batch: Batch, manager: Manager) -> None:
    manager.answer("POST", "/schedule", "anytime")
    batch("schedule", "-a", "anytime")
    assert manager.asked()[-1][2] == ANYTIME


def test_a_used_one_is_deleted_only_with_force(batch: Batch, manager: Manager) -> None:
    manager.answer("DELETE", "/schedule/nightly", "Queues use the schedule; use ?forced=true.", 403)
    manager.answer("DELETE", "/schedule/nightly?forced=true", "done")
    assert batch("schedule", "-d", "nightly").code == 3
    assert batch("schedule", "-d", "-f", "nightly").code == 0


@pytest.mark.parametrize(
    "line",
    [
        ["-a"],
        ["-d"],
        ["x", "-a", "-d"],
        ["-u", "-w", "monday"],
        ["x", "-u"],
        ["x", "-d", "-w", "monday"],
        ["x", "-a", "-w", "someday"],
        ["x", "-a", "-p", "22:00:00"],
        ["x", "-a", "-p", "25:00:00 06:00:00"],
        ["x", "-a", "-p", "22:60:00 06:00:00"],
    ],
)
def test_what_is_no_schedule_is_a_usage_error(line: list[str], batch: Batch, manager: Manager) -> None:
    assert batch("schedule", *line).code == 2
    assert manager.asked() == []


OPENINGS = [
    {"begin": "2026-11-24T21:00:00.000000Z", "end": "2026-11-25T05:00:00.000000Z"},
    {"begin": "2026-11-30T21:00:00.000000Z", "end": None},
]


def test_it_shows_when_a_schedule_opens_next(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/schedule", [ANYTIME, NIGHTLY])
    manager.answer("GET", "/schedule/nightly/openings?count=1", OPENINGS[:1])
    manager.answer("GET", "/schedule/nightly/openings?count=5", OPENINGS)
    assert batch("schedule").out.splitlines()[-1].endswith("2026-11-24 22:00:00 to 2026-11-25 06:00:00")
    assert batch("schedule", "nightly").out.splitlines()[2:] == [
        "Next openings of nightly:",
        "  2026-11-24 22:00:00 to 2026-11-25 06:00:00",
        "  2026-11-30 22:00:00 on",
    ]
    assert json.loads(batch("schedule", "nightly", "--json").out) == [NIGHTLY | {"openings": OPENINGS}]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (["-u", "-w", "sun"], {"weekdays": ["Sunday"]}),
        (["-w", "any"], {"weekdays": None}),
        (["-p", "any", "-w", "mon"], {"weekdays": ["Monday"], "time": None}),
        (["-p", "7:30 8:00"], {"time": [{"begin": "07:30:00", "end": "08:00:00"}]}),
    ],
)
def test_a_change_leaves_what_is_not_given(
    line: list[str], body: object, batch: Batch, manager: Manager
) -> None:
    manager.answer("PUT", "/schedule/nightly", "done")
    assert batch("schedule", "nightly", *line).code == 0
    assert manager.asked() == [("PUT", "/schedule/nightly", body)]


def test_a_mistyped_schedule_is_asked_about(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/schedule", [ANYTIME, NIGHTLY])
    assert "did you mean nightly?" in batch("schedule", "nihgtly").err
