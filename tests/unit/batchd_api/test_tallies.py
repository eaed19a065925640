"""Counts that outlive what they count, on each kind of database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from batchd_api.dispatch_counts import DispatchCounts
from batchd_api.recorder import Recorder
from batchd_api.services import tallies
from batchd_api.services.tallies import Tally, bucket_of, cumulative, failure_of
from batchd_flows.job_types import OnFail, RetryWhen
from batchd_flows.run import Outcome
from tests.ground import NOW, Installation

SECOND = timedelta(seconds=1)
CONTINUE = OnFail()


def counted(here: Installation, name: str) -> dict[tuple[str, str, str], float]:
    with here.database.read() as connection:
        found = tallies.read(connection).get(name, [])
    return {(one.queue, one.type, one.detail): one.value for one in found}


def run(here: Installation, outcome: Outcome, on_fail: OnFail = CONTINUE, wait_seconds: float = 0) -> int:
    job_id = here.enqueue()
    here.attempt(job_id, state="taken", started_at=None)
    recorder = Recorder(here.database)
    (attempt,) = recorder.alive("d")
    recorder.started(attempt, NOW + wait_seconds * SECOND)
    recorder.started(attempt, NOW + 2 * wait_seconds * SECOND)  # found again after a restart
    recorder.ended(attempt, outcome, on_fail, NOW + 100 * SECOND)
    return job_id


def test_starts_waits_and_ends_are_counted_once(everywhere: Installation) -> None:
    here = everywhere
    run(here, Outcome(exit_code=0, ended_at=NOW + 100 * SECOND), wait_seconds=40)
    run(here, Outcome(exit_code=3, ended_at=NOW + 100 * SECOND), wait_seconds=5)
    assert counted(here, tallies.STARTS) == {("default", "command", ""): 2}
    assert counted(here, tallies.WAIT_BUCKET) == {("default", "", "60"): 1, ("default", "", "10"): 1}
    assert counted(here, tallies.WAIT_SUM) == {("default", "", ""): 45}
    assert counted(here, tallies.ENDS) == {("default", "command", w): 1 for w in ("done", "failed")}
    assert counted(here, tallies.FAILURES) == {("default", "command", "exit-code"): 1}
    assert counted(here, tallies.RUN_BUCKET) == {("", "command", "60"): 1, ("", "command", "300"): 1}
    assert counted(here, tallies.RUN_SUM) == {("", "command", ""): 155}


def test_a_second_execution_has_waited_since_the_end_of_the_first(here: Installation) -> None:
    job_id = run(here, Outcome(exit_code=1, ended_at=NOW + 100 * SECOND), OnFail(when=RetryWhen.NOW, count=1))
    here.attempt(job_id, state="taken", started_at=None, number=2)
    recorder = Recorder(here.database)
    (attempt,) = recorder.alive("d")
    recorder.started(attempt, NOW + 107 * SECOND)
    assert counted(here, tallies.WAIT_SUM) == {("default", "", ""): 7}


@pytest.mark.parametrize(
    ("outcome", "cancelled", "started", "reason"),
    [
        (Outcome(exit_code=1), False, True, "exit-code"),
        (Outcome(exit_code=127, reason="command not found"), False, True, "exit-code"),
        (Outcome(exit_code=-9, reason="ended by signal 9 (KILL)"), False, True, "signal"),
        (Outcome(exit_code=-15, reason="timeout"), False, True, "timeout"),
        (Outcome(exit_code=-15, reason="silence"), False, True, "silence"),
        (Outcome(exit_code=-15, reason="cancelled"), True, True, "cancelled"),
        (Outcome(exit_code=None, reason="the machine was switched off"), False, True, "lost"),
        (Outcome(exit_code=None, reason="there is no input file"), False, False, "not-started"),
    ],
)
def test_every_failure_has_a_reason_of_the_closed_list(
    outcome: Outcome, cancelled: bool, started: bool, reason: str
) -> None:
    assert failure_of(outcome, cancelled=cancelled, started=started) == reason
    assert reason in tallies.FAILURE_REASONS


def test_buckets_hold_what_lies_at_or_below_their_bound() -> None:
    assert [bucket_of(seconds) for seconds in (0, 1, 1.5, 60, 10**9)] == ["1", "1", "10", "60", "+Inf"]
    found = dict(cumulative({"1": 2, "60": 3, "+Inf": 1}))
    assert (found["1"], found["10"], found["60"], found["604800"], found["+Inf"]) == (2, 2, 5, 5, 6)


def test_what_was_counted_of_a_deleted_queue_goes(everywhere: Installation) -> None:
    with everywhere.database.write() as connection:
        tallies.add(connection, [Tally(name="x", queue="gone"), Tally(name="x", queue="default")])
        tallies.add(connection, [Tally(name="x", type="any"), Tally(name="x", queue="default", value=2)])
        tallies.forget_deleted_queues(connection)
    assert counted(everywhere, "x") == {("default", "", ""): 3, ("", "any", ""): 1}


def test_a_dispatchers_own_figures_reach_the_database(everywhere: Installation) -> None:
    counts = DispatchCounts("d" * 100)
    for lag in (5.0, 0.5):
        counts._store(everywhere.database, 2, 0.25, lag)
    assert counted(everywhere, tallies.PLANS) == {("", "", ""): 4}
    assert counted(everywhere, tallies.PLAN_SECONDS) == {("", "", ""): 0.5}
    assert list(counted(everywhere, tallies.MIRROR_LAG).values()) == [0.5]
