"""`batch job`."""

from typing import Any

import pytest

from .conftest import JOB, Batch, Manager


def _result(second: int, stdout: str = "", stderr: str = "", exit_code: int | None = None) -> dict[str, Any]:
    return {
        "job_id": 17,
        "time": f"2026-11-24T03:00:{second:02}.000000Z",
        "exit_code": exit_code,
        "stdout": stdout,
        "stderr": stderr,
    }


TWO_EXECUTIONS = [
    _result(1, "first try"),
    _result(2, exit_code=1),
    _result(3, "second try"),
    _result(4, stderr="a warning"),
    _result(5, ""),
    _result(6, "  \x1b[31mred\x1b[0m [b]end"),
    _result(7, exit_code=0),
]


def test_it_shows_the_job_in_local_time_with_its_reason(batch: Batch, manager: Manager) -> None:
    reason = {"code": "window", "text": "night is closed", "until": "2026-11-24T21:00:00.000000Z"}
    manager.answer("GET", "/job/17", JOB | {"notes": "line\n\x1b[2Jtwo", "reason": reason})
    assert batch("job", "17").out == (
        "Id:      17\n"
        "Queue:   night\n"
        "Place:   3\n"
        "Type:    command\n"
        "Status:  New\n"
        "Reason:  night is closed (opens 2026-11-24 22:00:00)\n"
        "User:    anna\n"
        "Created: 2026-11-24 04:01:43\n"
        "Notes:   line\\n\\x1b[2Jtwo\n"
        "Parameters:\n"
        "  command: echo\n"
        "  args:    hello world\n"
    )


@pytest.mark.parametrize("flag", ["--view", "--description"])
def test_viewing_may_be_said(flag: str, batch: Batch, manager: Manager) -> None:
    manager.answer(
        "GET", "/job/17", JOB | {"reason": {"code": "turn", "text": "its turn has not come", "until": None}}
    )
    assert "Reason:  its turn has not come\n" in batch("job", flag, "17").out


def test_r_prints_the_last_executions_output_as_it_is(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17/results", TWO_EXECUTIONS)
    done = batch("job", "17", "-r")
    assert done.out == "second try\na warning\n\n  \x1b[31mred\x1b[0m [b]end\n"
    assert done.err == "job 17: exit code 0 at 2026-11-24 04:00:07\n"
    assert batch("job", "17", "-r", "--quiet").err == ""


def test_a_prints_all_executions(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17/results", TWO_EXECUTIONS[:3])
    assert batch("job", "17", "-a").out == (
        "--- execution 1: exit code 1 at 2026-11-24 04:00:02\n"
        "first try\n"
        "--- execution 2: running, last heard of at 2026-11-24 04:00:03\n"
        "second try\n"
    )


def test_a_job_that_never_ran_has_no_output(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17/results", [])
    done = batch("job", "17", "--result")
    assert (done.code, done.out) == (5, "")
    assert "has not run yet" in done.err


@pytest.mark.parametrize(
    ("word", "priority"),
    [
        *((word, "first") for word in ("first", "f", "FIRST")),
        *((word, "more") for word in ("up", "more", "u")),
        *((word, "less") for word in ("down", "less", "d")),
        *((word, "last") for word in ("last", "l")),
    ],
)
def test_a_priority_has_many_words(word: str, priority: str, batch: Batch, manager: Manager) -> None:
    manager.answer("PUT", "/job/17", "done")
    done = batch("job", "17", "-p", word)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert manager.asked() == [("PUT", "/job/17", {"priority": priority})]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("-m default", {"move": "default"}),
        ("--move default", {"move": "default"}),
        ("-s postponed", {"status": "Postponed"}),
        ("-u --status NEW", {"status": "New"}),
        ("-h blade", {"host_name": "blade"}),
        ("--host *", {"host_name": "*"}),
        ("-n remark", {"notes": "remark"}),
        ("--notes=", {"notes": None}),
        ("--at any", {"start_time": None}),
        ("--at now", {"start_time": None}),
        ("--at 24.01.2036", {"start_time": "2036-01-23T23:00:00.000000Z"}),
        ("-s new -h blade -n x", {"status": "New", "host_name": "blade", "notes": "x"}),
    ],
)
def test_an_option_that_changes_something_changes_it(
    line: str, body: object, batch: Batch, manager: Manager
) -> None:
    manager.answer("PUT", "/job/17", "done")
    assert batch("job", "17", *line.split()).code == 0
    assert manager.asked() == [("PUT", "/job/17", body)]


def test_several_changes_go_queue_first_and_place_last(batch: Batch, manager: Manager) -> None:
    manager.answer("PUT", "/job/17", "done")
    batch("job", "17", "-p", "first", "-n", "x", "-m", "night")
    assert [body for _, _, body in manager.asked()] == [
        {"move": "night"},
        {"notes": "x"},
        {"priority": "first"},
    ]


def test_a_refused_move_stops_the_rest(batch: Batch, manager: Manager) -> None:
    manager.answer("PUT", "/job/17", "Job 17 runs.", 409)
    assert batch("job", "17", "-m", "night", "-p", "first").code == 1
    assert len(manager.asked()) == 1


@pytest.mark.parametrize("line", ["-u", "-d -p first", "-d -r", "-p middle", "-s lost", "--at sometime"])
def test_what_does_not_go_together_is_a_usage_error(line: str, batch: Batch, manager: Manager) -> None:
    assert batch("job", "17", *line.split()).code == 2
    assert manager.asked() == []
