"""What an attempt reports, on each kind of database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from batchd_api.db.tables import NOTE, attempts, jobs, output
from batchd_api.recorder import CUT_SENTENCE, Attempt, OldToken, Recorder
from batchd_api.statuses import AttemptState, Reason, ReasonCode
from batchd_api.world import WorldStore
from batchd_flows.job_types import OnFail, RetryWhen
from batchd_flows.run import Chunk, Outcome, Stream
from tests.ground import NOW, ROOT, Installation

LATER = NOW + timedelta(minutes=1)
DONE = Outcome(exit_code=0, ended_at=LATER)
FAILED = Outcome(exit_code=3, ended_at=LATER)
NOW_ONCE = OnFail(when=RetryWhen.NOW, count=1)
LATER_TWICE = OnFail(when=RetryWhen.LATER, count=2)


class Desk:
    """An installation with a recorder and jobs that have been taken."""

    def __init__(self, here: Installation) -> None:
        self.here = here
        self.recorder = Recorder(here.database)

    def taken(self, job_id: int | None = None, *, number: int = 1) -> Attempt:
        job_id = self.here.enqueue() if job_id is None else job_id
        self.here.attempt(job_id, state="taken", started_at=None, number=number)
        self.here.set_job(job_id, status="Waiting")
        return self.recorder.alive("d")[-1]

    def running(self, job_id: int | None = None, *, number: int = 1) -> Attempt:
        attempt = self.taken(job_id, number=number)
        self.recorder.started(attempt, NOW)
        return attempt

    def fail(self, attempt: Attempt, on_fail: OnFail) -> Any:
        self.recorder.ended(attempt, FAILED, on_fail, LATER)
        return self.here.row(attempt.job_id)

    def attempt_row(self, attempt: Attempt) -> Any:
        with self.here.database.read() as connection:
            return connection.execute(select(attempts).where(attempts.c.id == attempt.id)).one_or_none()

    def output(self, attempt: Attempt) -> dict[str, bytes]:
        query = select(output.c.stream, output.c.offset, output.c.data)
        mine = (output.c.job_id == attempt.job_id) & (output.c.attempt == attempt.number)
        with self.here.database.read() as connection:
            rows = connection.execute(query.where(mine).order_by(output.c.id)).all()
        text = {"stdout": b"", "stderr": b""}
        for row in rows:
            assert row.offset == len(text[row.stream]), "a gap, or something twice"
            text[row.stream] += row.data
        return text


@pytest.fixture
def desk(everywhere: Installation) -> Desk:
    return Desk(everywhere)


def chunk(data: bytes, offset: int = 0, stream: Stream = "stdout") -> Chunk:
    return Chunk(stream=stream, offset=offset, data=data, time=NOW)


# --- started ---


def test_a_start_makes_the_job_processing_and_said_again_it_changes_nothing(desk):
    attempt = desk.running()
    before = desk.here.row(attempt.job_id), desk.attempt_row(attempt)
    desk.recorder.started(attempt, LATER)
    assert (desk.here.row(attempt.job_id), desk.attempt_row(attempt)) == before
    assert (before[0].status, before[1].started_at) == ("Processing", NOW)


def test_an_attempt_knows_where_it_stands(desk):
    attempt = desk.running()
    desk.recorder.add_output(attempt, [chunk(b"one"), chunk(b"fault", stream="stderr")])
    fresh = desk.recorder.fresh(attempt.id)
    assert fresh == replace(attempt, state=AttemptState.RUNNING, stdout_bytes=3, stderr_bytes=5)
    assert fresh.folder_name == f"{attempt.job_id}.1"


def test_only_the_dispatchers_own_living_attempts_are_its_to_look_after(desk):
    first, second = desk.running(), desk.taken()
    desk.recorder.ended(first, DONE, OnFail(), LATER)
    assert [attempt.id for attempt in desk.recorder.alive("d")] == [second.id]
    assert desk.recorder.alive("another") == []
    assert desk.recorder.fresh(first.id) is None


# --- output ---


def test_output_of_both_streams_is_kept_apart_and_in_order(desk):
    attempt = desk.running()
    desk.recorder.add_output(attempt, [chunk(b"a\n"), chunk(b"!", stream="stderr"), chunk(b"\xff\x00b", 2)])
    assert desk.output(attempt) == {"stdout": b"a\n\xff\x00b", "stderr": b"!"}


def test_output_reported_again_after_a_crash_is_stored_once(desk):
    attempt = desk.running()
    desk.recorder.add_output(attempt, [chunk(b"0123"), chunk(b"45", 4)])
    desk.recorder.add_output(attempt, [chunk(b"0123"), chunk(b"4567", 4)])  # a crash came before the answer
    desk.recorder.add_output(attempt, [chunk(b"0123")])
    assert desk.output(attempt)["stdout"] == b"01234567"
    assert desk.recorder.fresh(attempt.id).stdout_bytes == 8


def test_output_of_a_deleted_job_is_not_kept(desk):
    attempt = desk.running()
    desk.here.jobs.delete(ROOT, attempt.job_id)
    desk.recorder.add_output(attempt, [chunk(b"late")])
    assert desk.here.count(output) == 0
    assert desk.recorder.fresh(attempt.id).stdout_bytes == 4


# --- the end ---


def test_exit_code_zero_is_done(desk):
    attempt = desk.running()
    desk.recorder.ended(attempt, DONE, NOW_ONCE, LATER)
    row = desk.here.row(attempt.job_id)
    assert (row.status, row.end_time, row.try_count, row.reason_code) == ("Done", LATER, 0, None)
    ended = desk.attempt_row(attempt)
    assert (ended.state, ended.exit_code, ended.ended_at, ended.reason) == ("ended", 0, LATER, None)


def test_the_end_is_not_before_the_last_output(desk: Desk) -> None:
    attempt = desk.running()
    late = LATER + timedelta(seconds=1)
    desk.recorder.add_output(attempt, [replace(chunk(b"read a moment after the end"), time=late)])
    desk.recorder.ended(attempt, DONE, OnFail(), late)
    assert desk.attempt_row(attempt).ended_at == late


def test_e5_a_clock_that_was_put_back_makes_no_duration_negative(desk: Desk) -> None:
    attempt = desk.running()
    started_at = desk.attempt_row(attempt).started_at
    early = started_at - timedelta(hours=1)
    desk.recorder.ended(attempt, Outcome(exit_code=0, ended_at=early), OnFail(), early)
    assert desk.attempt_row(attempt).ended_at == started_at
    assert desk.here.row(attempt.job_id).status == "Done"


def test_without_retries_a_failure_stays_and_says_why(desk):
    row = desk.fail(desk.running(), OnFail())
    assert (row.status, row.try_count) == ("Failed", 1)
    assert (row.reason_code, row.reason_text) == ("failed", "exit code 3")


def test_who_was_asked_to_end_and_exits_with_zero_has_failed(desk):
    attempt = desk.running()
    desk.recorder.ended(attempt, Outcome(exit_code=0, reason="timeout"), OnFail(), LATER)
    row = desk.here.row(attempt.job_id)
    assert (row.status, row.reason_text) == ("Failed", "timeout")


def test_an_unknown_outcome_is_a_failure(desk):
    attempt = desk.running()
    desk.recorder.ended(attempt, Outcome(exit_code=None, reason="outcome unknown"), OnFail(), LATER)
    assert desk.here.row(attempt.job_id).status == "Failed"
    assert desk.attempt_row(attempt).ended_at == LATER


def test_retry_now_keeps_the_place_and_ends_after_count_more_times(desk):
    attempt = desk.running()
    behind = desk.here.enqueue()
    row = desk.fail(attempt, NOW_ONCE)
    assert (row.status, row.try_count, row.end_time) == ("New", 1, None)
    assert desk.here.order() == [attempt.job_id, behind]
    row = desk.fail(desk.running(attempt.job_id, number=2), NOW_ONCE)
    assert (row.status, row.try_count) == ("Failed", 2)


def test_retry_later_goes_to_the_end_of_the_queue(desk):
    attempt = desk.running()
    behind = [desk.here.enqueue(), desk.here.enqueue()]
    row = desk.fail(attempt, LATER_TWICE)
    assert (row.status, row.try_count) == ("New", 1)
    assert desk.here.order() == [*behind, attempt.job_id]


def test_retry_later_counts_every_job_that_the_queue_has(desk):
    attempt = desk.running()
    last = desk.here.enqueue()
    desk.here.set_job(last, status="Done", seq=70)
    assert desk.fail(attempt, LATER_TWICE).seq == 71


def test_retries_used_up_in_between_by_hand_start_again_at_zero(desk):
    attempt = desk.running()
    desk.fail(attempt, OnFail())
    desk.here.set_job(attempt.job_id, status="New", try_count=0)
    assert desk.fail(desk.running(attempt.job_id, number=2), NOW_ONCE).status == "New"


def test_each_change_of_the_job_is_due_to_be_shown(desk):
    attempt = desk.taken()
    versions = [desk.here.row(attempt.job_id).version]
    desk.recorder.started(attempt, NOW)
    versions.append(desk.here.row(attempt.job_id).version)
    desk.recorder.ended(attempt, DONE, OnFail(), LATER)
    versions.append(desk.here.row(attempt.job_id).version)
    assert versions == sorted(set(versions))


# --- cancelled ---


def test_cancelled_beats_on_fail_and_the_first_who_asked_is_named(desk):
    attempt = desk.running()
    desk.recorder.request_cancel(attempt, "ann", NOW)
    desk.recorder.request_cancel(attempt, "bob", LATER)
    desk.recorder.ended(attempt, Outcome(exit_code=-15, reason="cancelled"), NOW_ONCE, LATER)
    row = desk.here.row(attempt.job_id)
    assert (row.status, row.reason_code, row.reason_text) == ("Failed", "cancelled", "cancelled by ann")
    assert desk.attempt_row(attempt).reason == "cancelled by ann"


def test_a_command_that_succeeded_before_the_cancel_reached_it_is_done(desk):
    attempt = desk.running()
    desk.recorder.request_cancel(attempt, "ann", NOW)
    desk.recorder.ended(attempt, DONE, OnFail(), LATER)
    assert desk.here.row(attempt.job_id).status == "Done"
    assert desk.attempt_row(attempt).reason is None


def test_one_that_failed_by_itself_before_the_cancel_reached_it_is_not_tried_again(desk):
    attempt = desk.running()
    desk.recorder.request_cancel(attempt, "ann", NOW)
    assert desk.fail(attempt, NOW_ONCE).status == "Failed"


# --- given back ---


def test_a_take_that_is_given_back_never_happened(desk):
    attempt = desk.taken()
    behind = desk.here.enqueue()
    desk.recorder.give_back(attempt)
    row = desk.here.row(attempt.job_id)
    assert (row.status, row.attempt, row.try_count) == ("New", 0, 0)
    assert desk.here.order() == [attempt.job_id, behind]
    assert desk.here.count(attempts) == 0


def test_one_that_was_cancelled_meanwhile_is_not_given_back(desk):
    attempt = desk.taken()
    desk.recorder.request_cancel(attempt, "ann", NOW)
    desk.recorder.give_back(attempt)
    assert desk.here.row(attempt.job_id).status == "Waiting"
    assert desk.recorder.fresh(attempt.id).cancel_requested


# --- what comes too late ---


def reports(recorder: Recorder, attempt: Attempt) -> list[Any]:
    return [
        lambda: recorder.started(attempt, LATER),
        lambda: recorder.add_output(attempt, [chunk(b"x")]),
        lambda: recorder.ended(attempt, FAILED, OnFail(), LATER),
        lambda: recorder.give_back(attempt),
        lambda: recorder.request_cancel(attempt, "ann", LATER),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_report_with_an_old_token_is_refused_and_changes_nothing(desk, number):
    attempt = desk.running()
    with desk.here.database.write() as connection:
        connection.execute(update(attempts).values(token="new"))
    before = desk.here.row(attempt.job_id), desk.attempt_row(attempt)
    with pytest.raises(OldToken, match=f"Attempt 1 of job {attempt.job_id} is not"):
        reports(desk.recorder, attempt)[number]()
    assert (desk.here.row(attempt.job_id), desk.attempt_row(attempt)) == before
    assert desk.here.count(output) == 0


@pytest.mark.parametrize("number", range(5))
def test_a_report_for_an_attempt_that_has_ended_is_refused(desk, number):
    attempt = desk.running()
    desk.recorder.ended(attempt, DONE, OnFail(), LATER)
    with pytest.raises(OldToken):
        reports(desk.recorder, attempt)[number]()
    assert desk.here.row(attempt.job_id).status == "Done"


def test_a_report_of_an_earlier_attempt_leaves_the_job_alone(desk):
    attempt = desk.running()
    with desk.here.database.write() as connection:  # another one was begun, however that came
        connection.execute(update(jobs).values(attempt=2, status="Waiting"))
    desk.recorder.ended(attempt, DONE, OnFail(), LATER)
    assert desk.here.row(attempt.job_id).status == "Waiting"
    assert desk.attempt_row(attempt).state == "ended"


@pytest.mark.parametrize("outcome", [DONE, FAILED])
def test_the_attempt_of_a_deleted_job_leaves_nothing_when_its_tree_has_ended(desk, outcome):
    attempt, other = desk.running(), desk.running()
    desk.recorder.add_output(attempt, [chunk(b"early")])
    desk.recorder.add_output(other, [chunk(b"other's")])
    desk.here.jobs.delete(ROOT, attempt.job_id)
    assert desk.recorder.fresh(attempt.id).cancel_requested
    desk.recorder.ended(attempt, outcome, NOW_ONCE, LATER)
    assert desk.attempt_row(attempt) is None
    assert desk.here.row(attempt.job_id) is None
    assert desk.output(other)["stdout"] == b"other's"


# --- output that is cut ---


def notes(desk: Desk, attempt: Attempt) -> list[bytes]:
    query = select(output.c.data).where(output.c.job_id == attempt.job_id, output.c.stream == NOTE)
    with desk.here.database.read() as connection:
        return list(connection.execute(query).scalars())


def test_that_output_is_cut_is_said_once_while_it_runs_or_at_its_end(desk):
    attempt, other = desk.running(), desk.running()
    desk.recorder.cut(attempt, NOW)
    assert desk.attempt_row(attempt).output_cut
    desk.recorder.cut(attempt, NOW)
    for one in (attempt, other):
        desk.recorder.ended(one, replace(DONE, output_cut=True), OnFail(), LATER)
        assert notes(desk, one) == [CUT_SENTENCE.encode()]
        assert desk.attempt_row(one).output_cut
        assert desk.here.row(one.job_id).status == "Done"


def test_output_that_was_not_cut_has_no_note(desk):
    attempt = desk.running()
    desk.recorder.ended(attempt, DONE, OnFail(), LATER)
    assert (notes(desk, attempt), desk.attempt_row(attempt).output_cut) == ([], False)


def test_a_take_that_prefect_refused_is_given_back_with_the_reason_and_its_end(desk):
    attempt = desk.taken()
    refusal = Reason(code=ReasonCode.PREFECT_DOWN, text="Prefect refuses (409): no.", until=LATER)
    desk.recorder.give_back(attempt, refusal)
    row = desk.here.row(attempt.job_id)
    assert (row.status, row.attempt, row.try_count) == ("New", 0, 0)
    assert (row.reason_code, row.reason_text, row.reason_until) == ("prefect-down", refusal.text, LATER)
    world = WorldStore(desk.here.database, desk.here.ground.job_types, {}, ZoneInfo("UTC"))
    (seen,) = world.look(NOW, prefect_down=None).world.jobs
    assert seen.refusal == refusal
    (seen,) = world.look(LATER, prefect_down=None).world.jobs
    assert seen.refusal is None
