"""`batch run`, `logs`, `wait`, `why`, `open`: what they print and how they end."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from batchd_cli import streaming, waiting

from .conftest import (
    BATCH,
    COMMAND_TYPE,
    END_EVENT,
    INTERRUPTIBLE,
    JOB,
    Batch,
    Manager,
    output_event,
    status_event,
)
from .test_job import TWO_EXECUTIONS
from .test_main import on_a_terminal

DONE = JOB | {"status": "Done", "exit_code": 0}
FAILED = JOB | {"status": "Failed", "exit_code": 3}
CLOSED = {"code": "window", "text": "night is closed", "until": "2026-11-24T21:00:00.000000Z"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "FIRST_LOOK_SECONDS", 0.01)


@pytest.fixture
def running(manager: Manager) -> Manager:
    """A job 17 that waits, prints on both streams, and fails with 3."""
    manager.answer("POST", "/queue/default", 17)
    manager.answer("GET", "/type/command", COMMAND_TYPE)
    manager.answer("GET", "/job/17", FAILED)
    manager.stream(
        17,
        [
            status_event("New", reason=CLOSED),
            status_event("Processing"),
            output_event("one\ntwo\n"),
            output_event("oh\n", stream="stderr"),
            output_event("three\n", offset=8),
            status_event("Failed", exit_code=3),
            END_EVENT,
        ],
    )
    return manager


def test_run_prints_what_the_job_prints_and_ends_as_it_ends(batch: Batch, running: Manager) -> None:
    done = batch("run", "make", "test")
    assert (done.code, done.out) == (3, "one\ntwo\nthree\n")
    assert done.err == "job 17\noh\njob 17 has failed: exit code 3\n"
    assert running.asked()[1][2] == {"type": "command", "params": {"command": "make", "args": "test"}}


def test_run_as_json_is_one_object_a_line(batch: Batch, running: Manager) -> None:
    lines = [json.loads(line) for line in batch("run", "make", "--json").out.splitlines()]
    assert lines[0] == {"id": 17}
    assert lines[1]["event"] == "status"
    assert lines[1]["reason"] == CLOSED
    assert lines[3] == {
        "event": "output",
        "id": 17,
        "attempt": 1,
        "stream": "stdout",
        "offset": 0,
        "text": "one\ntwo\n",
    }
    assert lines[-1]["event"] == "end"
    assert lines[-1]["exit_code"] == 3


def test_logs_f_follows_and_is_the_jobs_own_code(batch: Batch, running: Manager) -> None:
    done = batch("logs", "17", "-f")
    assert (done.code, done.out) == (3, "one\ntwo\nthree\n")


@pytest.mark.parametrize(
    ("count", "out", "err"), [(2, "three\n", "oh\n"), (0, "", ""), (9, "one\ntwo\nthree\n", "oh\n")]
)
def test_logs_f_n_begins_with_the_last_lines_so_far(
    count: int, out: str, err: str, batch: Batch, running: Manager
) -> None:
    running.answer("GET", "/job/17/output?stream=stdout", b"one\ntwo\nthree\n")
    running.answer("GET", "/job/17/output?stream=stderr", b"oh\n")
    done = batch("logs", "17", "-f", "-n", str(count), "-q")
    assert (done.out, done.err) == (out, err)


def test_logs_f_n_before_anything_is_printed_shows_everything(batch: Batch, running: Manager) -> None:
    assert batch("logs", "17", "-f", "-n", "1").out == "one\ntwo\nthree\n"


def test_logs_are_the_last_executions_with_the_streams_apart(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17/results", TWO_EXECUTIONS)
    done = batch("logs", "17")
    assert (done.code, done.out) == (0, "second try\n\n  \x1b[31mred\x1b[0m [b]end\n")
    assert done.err == "a warning\n"
    assert batch("logs", "17", "-n", "2").out == "\n  \x1b[31mred\x1b[0m [b]end\n"
    assert batch("logs", "17", "--attempt", "1").out == "first try\n"
    assert len(json.loads(batch("logs", "17", "--json").out)) == 5


def test_logs_of_an_execution_that_never_was_are_not_found(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17/results", TWO_EXECUTIONS)
    done = batch("logs", "17", "--attempt", "3")
    assert (done.code, done.out) == (5, "")
    assert "has run 2 times" in done.err
    manager.answer("GET", "/job/17/results", [])
    assert batch("logs", "17").code == 5


def test_a_stream_comes_byte_for_byte(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/job/17/output?stream=stdout&attempt=1", b"\xff\x00no newline")
    done = subprocess.run(
        [BATCH, "logs", "17", "--stream", "stdout", "--attempt", "1"],
        env=os.environ | {"BATCH_MANAGER_URL": manager.url},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"\xff\x00no newline")


@pytest.mark.parametrize(("job", "code"), [(DONE, 0), (FAILED, 3), (FAILED | {"exit_code": None}, 1)])
def test_wait_ends_as_the_job_ends(job: dict[str, Any], code: int, batch: Batch, manager: Manager) -> None:
    manager.answer_in_turn("GET", "/job/17", JOB, job)
    done = batch("wait", "17")
    assert (done.code, done.out) == (code, "")


def test_wait_for_several_ends_as_the_first_that_failed(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/3", DONE | {"id": 3})
    manager.answer("GET", "/job/4", FAILED | {"id": 4, "exit_code": 7})
    manager.answer_in_turn("GET", "/job/5", JOB | {"id": 5}, FAILED | {"id": 5})
    done = batch("wait", "3", "5", "4", "--json")
    assert done.code == 3
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == [3, 4, 5]
    assert "job 5 has failed: exit code 3\njob 4 has failed: exit code 7\n" in done.err


def test_wait_gives_up_with_124(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB)
    done = batch("wait", "17", "--timeout", "0.05s")
    assert (done.code, done.out) == (124, "")
    assert "job 17 has not ended in time" in done.err


@pytest.mark.parametrize(
    "line", ["wait", "wait 17 --timeout soon", "why", "logs", "logs 17 -f --attempt 2", "wait 7-3"]
)
def test_what_says_nothing_is_a_usage_error(line: str, batch: Batch) -> None:
    assert batch(*line.split()).code == 2


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (JOB | {"reason": CLOSED}, "17  window: night is closed (opens 2026-11-24 22:00:00)\n"),
        (
            JOB | {"reason": CLOSED | {"code": "not-before", "text": "later"}},
            "17  not-before: later (not before 2026-11-24 22:00:00)\n",
        ),
        (
            JOB | {"reason": CLOSED | {"code": "host-failed", "text": "no answer"}},
            "17  host-failed: no answer (next try 2026-11-24 22:00:00)\n",
        ),
        (
            JOB | {"status": "Processing", "host_name": "blade"},
            "17  running: it does not wait: it runs on blade\n",
        ),
        (FAILED, "17  failed: it has ended with exit code 3\n"),
        (JOB | {"status": "Postponed"}, "17  postponed: it is held until somebody releases it\n"),
        (JOB, "17  unknown: the manager does not say\n"),
    ],
)
def test_why_is_a_word_a_sentence_and_a_time(
    job: dict[str, Any], line: str, batch: Batch, manager: Manager
) -> None:
    manager.answer("GET", "/job/17", job)
    assert batch("why", "17").out == line
    assert json.loads(batch("why", "17", "--json").out) == [
        {"id": 17, "status": job["status"], "reason": job.get("reason")}
    ]


def test_times_are_in_utc_on_request(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB | {"reason": CLOSED})
    assert "(opens 2026-11-24 21:00:00Z)" in batch("why", "17", "--utc").out


PAGE = "http://127.0.0.1:4200/runs/flow-run/1"


def test_open_prints_the_address_and_only_that_in_a_pipe(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB | {"flow_run_url": PAGE})
    assert batch("open", "17").out == PAGE + "\n"
    assert json.loads(batch("open", "17", "--json").out) == {"id": 17, "flow_run_url": PAGE}
    manager.answer("GET", "/job/17", JOB)
    assert batch("open", "17").code == 5


@pytest.mark.parametrize(("url", "opened"), [(PAGE, True), ("file:///etc/passwd", False)])
def test_open_opens_a_page_in_the_browser_and_nothing_else(
    url: str, opened: bool, manager: Manager, home: Path
) -> None:
    manager.answer("GET", "/job/17", JOB | {"flow_run_url": url})
    browser, told = home / "browser", home / "told"
    browser.write_text(f"#!/bin/sh\necho $1 > {told}\n")
    browser.chmod(0o755)
    code, shown = on_a_terminal("open", "17", BATCH_MANAGER_URL=manager.url, BROWSER=f"{browser} %s")
    assert code == 0
    assert url in shown
    assert told.exists() == opened


def test_ctrl_c_stops_following_and_says_that_the_job_goes_on(manager: Manager, home: Path) -> None:
    manager.stream(17, [output_event("a\n")])
    process = subprocess.Popen(
        [*INTERRUPTIBLE, str(BATCH), "logs", "-f", "17"],
        env=os.environ | {"BATCH_MANAGER_URL": manager.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "a\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "job 17 goes on: `batch logs 17 -f` follows it" in err
    assert "Traceback" not in err


def test_a_manager_that_is_away_for_a_while_is_borne_with(batch: Batch, manager: Manager) -> None:
    manager.answer_in_turn("GET", "/job/17", JOB, (503, "The database cannot be reached."), DONE)
    assert batch("wait", "17", "--timeout", "60").code == 0


def test_b4_output_that_was_cut_is_said_beside_it_on_stderr(batch: Batch, manager: Manager) -> None:
    note = 'event: note\nid: 3-0-0\ndata: {"attempt": 1, "text": "the output ends here"}'
    manager.answer("GET", "/job/17", DONE | {"output_cut": True})
    manager.stream(17, [output_event("one\n"), note, status_event("Done", exit_code=0), END_EVENT])
    done = batch("logs", "17", "-f")
    assert (done.code, done.out, done.err) == (0, "one\n", "the output ends here\n")
    assert "cut" in batch("job", "17").out
    lines = [json.loads(line) for line in batch("logs", "17", "-f", "--json").out.splitlines()]
    assert lines[1] == {"event": "note", "id": 17, "attempt": 1, "text": "the output ends here"}
