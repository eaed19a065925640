"""What is missing in Prefect: examples, and that any life with any crashes ends in what the row says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchd_api.reconcile import (
    Action,
    AttemptView,
    Create,
    End,
    Hold,
    Remove,
    RowView,
    Run,
    RunView,
    Shown,
    Wait,
    outcome,
    reconcile,
    waiting_state,
)
from batchd_api.respond import UNKNOWN
from batchd_api.statuses import AttemptState, JobStatus, Reason, ReasonCode

WINDOW = Reason(code=ReasonCode.WINDOW, text="night opens at 22:00")
TAKEN, RUNNING, ENDED = AttemptState.TAKEN, AttemptState.RUNNING, AttemptState.ENDED


def row(status: JobStatus = JobStatus.NEW, *attempts: AttemptView, **fields: Any) -> RowView:
    defaults = {
        "job_id": 1,
        "queue_name": "a",
        "status": status,
        "attempt": len(attempts),
        "attempts": attempts,
    }
    return RowView(**(defaults | fields))


def attempt(state: AttemptState, number: int = 1, **fields: Any) -> AttemptView:
    return AttemptView(number=number, state=state, **fields)


def run(shown: str, attempt: int = 1, **fields: Any) -> RunView:
    named = {"id": f"run{attempt}", "attempt": attempt, "number": 1, "queue_name": "a", "shown": shown}
    return RunView(**(named | fields))


# --- waiting ---


def test_a_new_job_gets_the_run_of_its_first_attempt():
    assert reconcile(row(), []) == [Create(attempt=1, number=1)]


def test_a_waiting_run_shows_the_reasons_name_and_sentence():
    wanted = Wait(run_id="run1", state_name="WaitingForWindow", text="night opens at 22:00")
    assert reconcile(row(reason=WINDOW), [run("InQueue")]) == [wanted]
    assert reconcile(row(reason=WINDOW), [run("WaitingForWindow")]) == []


def test_a_job_that_nobody_has_looked_at_is_in_the_queue():
    assert reconcile(row(), [run("InQueue")]) == []
    assert waiting_state(None) == ("InQueue", "waits for its turn")


def test_every_reason_has_a_state_name_that_is_no_state_type():
    names = {code.state_name for code in ReasonCode}
    assert len(names) == len(ReasonCode)
    assert not names & set(Shown)


def test_a_postponed_job_is_held_and_a_released_one_waits():
    assert reconcile(row(JobStatus.POSTPONED), [run("InQueue")]) == [Hold(run_id="run1")]
    assert reconcile(row(JobStatus.POSTPONED), [run(Shown.PAUSED)]) == []
    assert isinstance(reconcile(row(), [run(Shown.PAUSED)])[0], Wait)


def test_a_moved_job_leaves_its_run_behind_and_gets_another():
    moved = row(queue_name="b")
    assert reconcile(moved, [run("InQueue")]) == [Remove(run_id="run1"), Create(attempt=1, number=2)]


def test_a_second_run_of_the_same_attempt_is_removed():
    runs = [run("InQueue", id="old"), run("InQueue", id="new", number=2)]
    assert reconcile(row(), runs) == [Remove(run_id="old")]


def test_a_claim_that_was_given_back_waits_again():
    assert isinstance(reconcile(row(), [run(Shown.PENDING)])[0], Wait)


def test_what_a_person_wrote_over_a_run_is_written_again():
    assert isinstance(reconcile(row(), [run(UNKNOWN)])[0], Wait)
    running = row(JobStatus.PROCESSING, attempt(RUNNING))
    assert reconcile(running, [run(UNKNOWN)]) == [Run(run_id="run1")]


# --- running ---


def test_a_taken_attempt_is_left_to_its_claim():
    assert reconcile(row(JobStatus.WAITING, attempt(TAKEN)), [run("InQueue")]) == []
    assert reconcile(row(JobStatus.WAITING, attempt(TAKEN)), [run(Shown.PENDING)]) == []
    assert reconcile(row(JobStatus.WAITING, attempt(TAKEN)), []) == []


STARTING = Reason(code=ReasonCode.HOST_STARTING, text="host vm is being got ready")


def test_a_job_whose_host_is_being_got_ready_is_scheduled_and_says_so():
    called = row(JobStatus.WAITING, reason=STARTING)
    wanted = Wait(run_id="run1", state_name="StartingHost", text="host vm is being got ready")
    assert reconcile(called, [run("InQueue")]) == [wanted]
    assert reconcile(called, [run("StartingHost")]) == []
    again = row(JobStatus.WAITING, attempt(ENDED, exit_code=1), reason=STARTING)
    assert reconcile(again, [run(Shown.FAILED)]) == [Create(attempt=2, number=1)]


def test_a_running_attempt_is_shown_as_running_once():
    running = row(JobStatus.PROCESSING, attempt(RUNNING))
    assert reconcile(running, [run(Shown.PENDING)]) == [Run(run_id="run1")]
    assert reconcile(running, [run(Shown.RUNNING)]) == []


def test_the_run_of_a_running_attempt_is_made_again_when_it_was_deleted():
    running = row(JobStatus.PROCESSING, attempt(RUNNING))
    assert reconcile(running, []) == [Create(attempt=1, number=1)]
    assert reconcile(running, [run("InQueue", number=2)]) == [Run(run_id="run1")]


# --- ended ---

OUTCOMES = [
    ({"exit_code": 0}, Shown.COMPLETED, "exit code 0"),
    ({"exit_code": 0, "reason": "timeout"}, Shown.FAILED, "timeout"),
    ({"exit_code": 3}, Shown.FAILED, "exit code 3"),
    ({"exit_code": -9, "reason": "ended by signal 9 (SIGKILL)"}, Shown.FAILED, "ended by signal 9 (SIGKILL)"),
    ({"exit_code": None}, Shown.CRASHED, "outcome unknown"),
    ({"exit_code": None, "reason": "not permitted"}, Shown.FAILED, "not permitted"),
    ({"exit_code": -15, "cancelled_by": "ann"}, Shown.CANCELLED, "cancelled by ann"),
    (
        {"exit_code": None, "cancelled_by": "ann", "reason": "cancelled by ann"},
        Shown.CANCELLED,
        "cancelled by ann",
    ),
    ({"exit_code": 0, "cancelled_by": "ann"}, Shown.COMPLETED, "exit code 0"),
]


@pytest.mark.parametrize(("fields", "shown", "text"), OUTCOMES)
def test_how_an_attempt_ended_is_how_its_run_ends(fields, shown, text):
    ended = attempt(ENDED, **fields)
    assert outcome(ended) == (shown, text)
    final = row(JobStatus.DONE, ended)
    assert reconcile(final, [run(Shown.RUNNING)]) == [End(run_id="run1", shown=shown, text=text)]
    assert reconcile(final, [run(shown)]) == []


def test_a_run_that_ends_before_it_was_shown_running_was_running_all_the_same():
    done = row(JobStatus.DONE, attempt(ENDED, exit_code=0))
    assert reconcile(done, [run(Shown.PENDING)])[0] == Run(run_id="run1")
    never = row(JobStatus.FAILED, attempt(ENDED, reason="not permitted"))
    assert [type(action) for action in reconcile(never, [run(Shown.PENDING)])] == [End]


def test_a_retried_job_has_one_run_that_ended_and_one_that_waits():
    again = row(JobStatus.NEW, attempt(ENDED, exit_code=1))
    assert reconcile(again, [run(Shown.RUNNING)]) == [
        End(run_id="run1", shown=Shown.FAILED, text="exit code 1"),
        Create(attempt=2, number=1),
    ]


def test_a_waiting_job_that_is_closed_by_hand_ends_its_run():
    assert reconcile(row(JobStatus.DONE), [run("InQueue")]) == [
        End(run_id="run1", shown=Shown.COMPLETED, text="set to Done")
    ]
    assert reconcile(row(JobStatus.FAILED), [run(Shown.PAUSED)])[0] == End(
        run_id="run1", shown=Shown.CANCELLED, text="set to Failed"
    )


def test_one_that_is_opened_again_gets_another_run():
    assert reconcile(row(), [run(Shown.COMPLETED)]) == [Create(attempt=1, number=2)]


def test_what_ended_needs_no_new_run_when_its_own_was_deleted():
    assert reconcile(row(JobStatus.DONE, attempt(ENDED, exit_code=0)), []) == []


# --- any life, any crashes ---


class Prefect:
    """Books and Prefect in one: what was written is what is shown. Writes may stop anywhere."""

    def __init__(self, runs: tuple[RunView, ...] = ()) -> None:
        self.runs = {run.id: run for run in runs}
        self._made = 0

    def carry_out(self, row: RowView, limit: int | None = None) -> int:
        actions = reconcile(row, self.sorted_runs())
        for action in actions[:limit]:
            self._do(row, action)
        return len(actions)

    def settle(self, row: RowView) -> None:
        for _ in range(3):
            if self.carry_out(row) == 0:
                return
        assert self.carry_out(row) == 0, (row, self.runs)

    def claim(self, row: RowView) -> None:
        alive = [run for run in self.sorted_runs() if run.attempt == row.attempt and not run.is_final]
        if not alive:
            mine = [run.number for run in self.runs.values() if run.attempt == row.attempt]
            self._do(row, Create(attempt=row.attempt, number=max(mine, default=0) + 1))
            return self.claim(row)
        self._show(alive[-1].id, Shown.PENDING)
        return None

    def sorted_runs(self) -> list[RunView]:
        return sorted(self.runs.values(), key=lambda run: (run.attempt, run.number))

    def live(self) -> list[RunView]:
        return [run for run in self.sorted_runs() if not run.is_final]

    def _do(self, row: RowView, action: Action) -> None:
        match action:
            case Create():
                self._made += 1
                keys = {(run.attempt, run.number) for run in self.runs.values()}
                assert (action.attempt, action.number) not in keys, "the same key would return the dead run"
                run_id, shown = f"made{self._made}", waiting_state(row.reason)[0]
                self.runs[run_id] = RunView(
                    id=run_id,
                    attempt=action.attempt,
                    number=action.number,
                    queue_name=row.queue_name,
                    shown=shown,
                )
            case Remove():
                del self.runs[action.run_id]
            case Wait():
                self._show(action.run_id, action.state_name)
            case Hold():
                self._show(action.run_id, Shown.PAUSED)
            case Run():
                self._show(action.run_id, Shown.RUNNING)
            case End():
                self._show(action.run_id, action.shown)

    def _show(self, run_id: str, shown: str) -> None:
        assert not self.runs[run_id].is_final, "an end is for ever"
        self.runs[run_id] = replace(self.runs[run_id], shown=shown)


def check(row: RowView, prefect: Prefect) -> None:
    """Prefect shows the row."""
    live = prefect.live()
    assert all(run.attempt in (row.attempt, row.attempt + 1) for run in live)
    match row.status:
        case JobStatus.WAITING if row.is_called:
            (run,) = live
            assert (run.attempt, run.shown) == (row.attempt + 1, waiting_state(row.reason)[0])
        case JobStatus.NEW:
            (run,) = live
            assert (run.attempt, run.queue_name) == (row.attempt + 1, row.queue_name)
            assert run.shown == waiting_state(row.reason)[0]
        case JobStatus.POSTPONED:
            (run,) = live
            assert (run.attempt, run.shown) == (row.attempt + 1, Shown.PAUSED)
        case JobStatus.PROCESSING:
            (run,) = live
            assert (run.attempt, run.shown) == (row.attempt, Shown.RUNNING)
        case JobStatus.WAITING:
            assert len(live) <= 1
        case _:
            assert live == []


attempt_ends = st.sampled_from([fields for fields, _, _ in OUTCOMES])
reasons = st.none() | st.sampled_from(list(ReasonCode)).map(lambda code: Reason(code=code, text="because"))


class Life(RuleBasedStateMachine):
    """A job, what people do with it and its run, and a mirror that may stop after any write."""

    def __init__(self) -> None:
        super().__init__()
        self.row = row()
        self.prefect = Prefect()

    def is_status(self, *statuses: JobStatus) -> bool:
        return self.row.status in statuses

    def is_taken(self) -> bool:
        return self.row.status is JobStatus.WAITING and not self.row.is_called

    def with_attempt(self, **fields: Any) -> None:
        last = replace(self.row.attempts[-1], **fields)
        self.row = replace(self.row, attempts=(*self.row.attempts[:-1], last))

    @rule(limit=st.integers(0, 3))
    def the_mirror_stops_after_some_writes(self, limit: int) -> None:
        self.prefect.carry_out(self.row, limit)

    @rule()
    def the_mirror_comes_through(self) -> None:
        self.prefect.settle(self.row)
        check(self.row, self.prefect)

    @precondition(lambda self: self.is_status(JobStatus.NEW))
    @rule(reason=reasons)
    def the_planner_says_why_it_waits(self, reason: Reason | None) -> None:
        self.row = replace(self.row, reason=reason)

    @precondition(lambda self: self.is_status(JobStatus.NEW) or self.row.is_called)
    @rule(called=st.booleans())
    def the_planner_gives_or_takes_back_its_turn(self, called: bool) -> None:
        status, reason = (JobStatus.WAITING, STARTING) if called else (JobStatus.NEW, WINDOW)
        self.row = replace(self.row, status=status, reason=reason)

    @precondition(lambda self: self.is_status(JobStatus.NEW) or self.row.is_called)
    @rule()
    def it_is_taken(self) -> None:
        number = self.row.attempt + 1
        attempts = (*self.row.attempts, attempt(TAKEN, number))
        self.row = replace(self.row, status=JobStatus.WAITING, attempt=number, attempts=attempts, reason=None)

    @precondition(is_taken)
    @rule()
    def it_is_given_back(self) -> None:
        self.row = replace(
            self.row, status=JobStatus.NEW, attempt=self.row.attempt - 1, attempts=self.row.attempts[:-1]
        )

    @precondition(is_taken)
    @rule()
    def it_is_claimed(self) -> None:
        self.prefect.claim(self.row)

    @precondition(is_taken)
    @rule()
    def it_is_claimed_and_starts(self) -> None:
        self.prefect.claim(self.row)
        self.with_attempt(state=RUNNING)
        self.row = replace(self.row, status=JobStatus.PROCESSING)

    @precondition(lambda self: self.is_taken() or self.is_status(JobStatus.PROCESSING))
    @rule(fields=attempt_ends, status=st.sampled_from([JobStatus.DONE, JobStatus.FAILED, JobStatus.NEW]))
    def it_ends(self, fields: dict[str, Any], status: JobStatus) -> None:
        self.with_attempt(state=ENDED, **fields)
        self.row = replace(self.row, status=status)

    @precondition(lambda self: not self.is_taken() and not self.is_status(JobStatus.PROCESSING))
    @rule(status=st.sampled_from([JobStatus.NEW, JobStatus.POSTPONED, JobStatus.DONE, JobStatus.FAILED]))
    def a_person_sets_its_status(self, status: JobStatus) -> None:
        self.row = replace(self.row, status=status, reason=None)

    @precondition(lambda self: not self.is_status(JobStatus.WAITING, JobStatus.PROCESSING))
    @rule(queue_name=st.sampled_from(["a", "b", "c"]))
    def a_person_moves_it(self, queue_name: str) -> None:
        self.row = replace(self.row, queue_name=queue_name)

    @precondition(lambda self: self.prefect.live())
    @rule(data=st.data())
    def a_person_writes_over_a_live_run(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.prefect.live()))
        self.prefect.runs[run.id] = replace(run, shown=UNKNOWN)

    @precondition(lambda self: self.prefect.runs)
    @rule(data=st.data())
    def a_person_deletes_a_run(self, data: st.DataObject) -> None:
        del self.prefect.runs[data.draw(st.sampled_from(sorted(self.prefect.runs)))]

    @invariant()
    def a_copy_converges_from_here(self) -> None:
        copy = Prefect(tuple(self.prefect.runs.values()))
        copy.settle(self.row)
        check(self.row, copy)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@st.composite
def anything(draw: st.DrawFn) -> tuple[RowView, tuple[RunView, ...]]:
    """Rows that fit their attempts, and runs in any state whatever."""
    ended = [attempt(ENDED, n + 1, **draw(attempt_ends)) for n in range(draw(st.integers(0, 2)))]
    status = draw(st.sampled_from(list(JobStatus)))
    living = {JobStatus.WAITING: TAKEN, JobStatus.PROCESSING: RUNNING}.get(status)
    attempts = [*ended, *([attempt(living, len(ended) + 1)] if living else [])]
    keys = draw(st.sets(st.tuples(st.integers(1, len(attempts) + 1), st.integers(1, 3)), max_size=5))
    shown = st.sampled_from([*Shown, "InQueue", "WaitingForWindow", UNKNOWN])
    runs = [
        RunView(id=f"{a}.{n}", attempt=a, number=n, queue_name=draw(st.sampled_from("ab")), shown=draw(shown))
        for a, n in sorted(keys)
    ]
    return row(status, *attempts, reason=draw(reasons)), tuple(runs)


@given(anything(), st.lists(st.integers(0, 4), max_size=5))
def test_whatever_prefect_shows_it_comes_to_show_the_row_however_often_the_mirror_stops(case, stops):
    view, runs = case
    prefect = Prefect(runs)
    for limit in stops:
        prefect.carry_out(view, limit)
    prefect.settle(view)
    if view.status not in (JobStatus.WAITING, JobStatus.PROCESSING):  # of those, only the claim makes one
        check(view, prefect)
