"""Progress in the database and in what clients see; estimates of ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from batchd_api.db.session import Database
from batchd_api.progress_notes import AttemptProgress, ProgressNotes
from batchd_api.recorder import Attempt, Recorder
from batchd_api.services.run_times import note_run_time
from batchd_flows.job_types import COMMAND, JobType, JobTypes, OnFail, RetryWhen
from batchd_flows.run import Chunk, Outcome
from tests.ground import NOW, ROOT, Installation

TYPES = JobTypes([COMMAND, JobType(name="told", template=("true",), progress="percent")])
SECOND = timedelta(seconds=1)


def running(here: Installation, **fields: Any) -> Attempt:
    job_id = here.enqueue()
    here.attempt(job_id, **fields)
    here.set_job(job_id, type_name="told", status="Processing")
    return Recorder(here.database).alive("d")[-1]


def chunk(text: str, at: datetime = NOW) -> list[Chunk]:
    return [Chunk(stream="stdout", offset=0, data=text.encode(), time=at)]


def progress(database: Database, attempt: Attempt) -> AttemptProgress:
    made = ProgressNotes(database, TYPES).of(attempt)
    assert made is not None
    return made


def record(here: Installation, attempt: Attempt) -> dict[str, Any]:
    return here.jobs.get(attempt.job_id)


def usual(here: Installation, seconds: float, type_name: str = "command") -> None:
    with here.database.write() as connection:
        note_run_time(connection, type_name, None, seconds, succeeded=True)


def test_a_type_without_the_key_has_no_progress(here: Installation) -> None:
    attempt = running(here)
    here.set_job(attempt.job_id, type_name="command")
    assert ProgressNotes(here.database, TYPES).of(attempt) is None
    assert record(here, attempt)["progress"] is None


def test_progress_is_in_the_jobs_record_with_the_time_it_is_done(everywhere: Installation) -> None:
    here = everywhere
    attempt = running(here)
    made = progress(here.database, attempt)
    made.read(chunk("10%\n"))
    made.read(chunk("20%\n", NOW + 10 * SECOND))
    made.write()
    eta = "2026-11-24T12:01:30.000000Z"
    assert record(here, attempt)["progress"] == {"percent": 20.0, "text": "20%", "eta": eta}
    assert record(here, attempt)["expected_end"] == eta


def test_progress_is_written_at_most_once_a_second_and_the_last_at_the_end(here: Installation) -> None:
    attempt = running(here)
    made = progress(here.database, attempt)
    for percent in (1, 2, 3):
        made.read(chunk(f"{percent}%\n"))
    assert record(here, attempt)["progress"]["percent"] == 1
    made.write()
    assert record(here, attempt)["progress"]["percent"] == 3


def test_an_execution_that_ended_keeps_its_progress_and_a_new_turn_has_none(here: Installation) -> None:
    attempt = running(here)
    made = progress(here.database, attempt)
    made.read(chunk("60%\n"))
    end = Outcome(exit_code=1, ended_at=NOW)
    Recorder(here.database).ended(attempt, end, OnFail(), NOW)
    found = record(here, attempt)
    assert (found["progress"]["percent"], found["progress"]["eta"], found["expected_end"]) == (60, None, None)
    made.read(chunk("70%\n"))
    made.write()  # too late: it has ended
    assert record(here, attempt)["progress"]["percent"] == 60
    again = running(here)
    progress(here.database, again).read(chunk("60%\n"))
    once = OnFail(when=RetryWhen.NOW, count=1)
    Recorder(here.database).ended(again, end, once, NOW)
    assert record(here, again)["progress"] is None


def test_without_progress_the_usual_time_of_the_type_tells_the_end(everywhere: Installation) -> None:
    here = everywhere
    attempt = running(here)
    assert record(here, attempt)["expected_end"] is None
    usual(here, 600, "told")
    assert record(here, attempt)["expected_end"] == "2026-11-24T12:10:00.000000Z"


def queue_end(here: Installation, name: str = "default") -> str | None:
    end: str | None = here.queues.get(name)["expected_end"]
    assert here.queues.visible(ROOT)[0].keys() >= {"expected_end"}
    return end


def test_a_queue_ends_when_its_jobs_have_had_their_turns(everywhere: Installation) -> None:
    here = everywhere
    here.dispatcher(workers=2)
    assert queue_end(here) is None
    usual(here, 100)
    for _ in range(4):
        here.enqueue()
    assert queue_end(here) == "2026-11-24T12:03:20.000000Z"
    with_one = here.queue("one", max_jobs=1)
    for _ in range(4):
        here.enqueue(with_one)
    assert queue_end(here, with_one) == "2026-11-24T12:06:40.000000Z"


def test_nobody_knows_the_end_of_a_queue_with_a_type_that_never_ran(here: Installation) -> None:
    here.dispatcher()
    usual(here, 100)
    here.enqueue()
    here.enqueue(type="render", params={"input": "a"})
    assert queue_end(here) is None


def test_the_time_between_windows_counts(here: Installation) -> None:
    here.dispatcher()
    usual(here, 3600)
    here.schedule("night", "22:00:00", "23:30:00")
    name = here.queue("nightly", schedule_name="night")
    here.enqueue(name)
    assert queue_end(here, name) == "2026-11-24T23:00:00.000000Z"
    here.enqueue(name)
    assert queue_end(here, name) == "2026-11-25T22:30:00.000000Z"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_disabled_queue_and_one_that_nobody_serves_have_no_end(here: Installation, workers: int) -> None:
    usual(here, 100)
    if workers:
        here.dispatcher(workers=workers)
    name = here.queue("off", enabled=workers == 0)
    here.enqueue(name)
    assert queue_end(here, name) is None


def test_a_job_that_runs_counts_with_what_is_left_of_it(here: Installation) -> None:
    here.dispatcher()
    usual(here, 100)
    attempt = running(here, started_at=NOW - 60 * SECOND)
    here.set_job(attempt.job_id, type_name="command")
    assert queue_end(here) == "2026-11-24T12:00:40.000000Z"
    here.enqueue()
    assert queue_end(here) == "2026-11-24T12:02:20.000000Z"
