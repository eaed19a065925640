"""What must be done in Prefect so that it shows what a job's row says: one pure, idempotent function.

A job's attempts have a flow run each; while the job waits, the run of its next attempt waits with it. The
books (`RunView.shown`) say what was written last, so a crash between a write and its note costs one write.
The claim (Scheduled → Pending) is not here: it needs its answer before the command starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batchd_api.statuses import AttemptState, JobStatus, Reason


class Shown(StrEnum):
    """State types that the mirror writes, beside the names of waiting states (`ReasonCode.state_name`)."""

    PAUSED = "PAUSED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"  # a person's; left standing until the tree has ended
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


FINAL = frozenset({Shown.COMPLETED, Shown.FAILED, Shown.CRASHED, Shown.CANCELLED})
WAITING_IN_LINE = "InQueue"  # a New job that the planner has not looked at yet


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One execution. `exit_code` null with state ended: the outcome is unknown."""

    number: int
    state: AttemptState
    exit_code: int | None = None
    reason: str | None = None
    cancelled_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class RowView:
    """A job's row with its attempts. `attempt` is the number of the latest one, 0 before the first."""

    job_id: int
    queue_name: str
    status: JobStatus
    attempt: int
    reason: Reason | None = None
    attempts: Sequence[AttemptView] = ()

    @property
    def is_called(self) -> bool:
        """Its turn has come, and its host is being got ready: no attempt has begun."""
        return self.status is JobStatus.WAITING and not self.is_alive(self.attempt)

    def is_alive(self, number: int) -> bool:
        """This attempt is the latest, and has not ended."""
        mine = (attempt for attempt in self.attempts if attempt.number == number)
        return number == self.attempt and any(attempt.state is not AttemptState.ENDED for attempt in mine)


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A flow run in our books: the `number`th of its attempt, in the pool of `queue_name`."""

    id: str
    attempt: int
    number: int
    queue_name: str
    shown: str

    @property
    def is_final(self) -> bool:
        return self.shown in FINAL


@dataclass(frozen=True, kw_only=True)
class Create:
    """Make the run of this attempt, waiting."""

    attempt: int
    number: int


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Show why it waits; from Pending too, when a claim was given back."""

    run_id: str
    state_name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Show that a person holds it."""

    run_id: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Show that its command runs."""

    run_id: str


@dataclass(frozen=True, kw_only=True)
class End:
    """Show how it ended."""

    run_id: str
    shown: Shown
    text: str


@dataclass(frozen=True, kw_only=True)
class Remove:
    """Delete the run."""

    run_id: str


Action = Create | Wait | Hold | Run | End | Remove


def reconcile(row: RowView, runs: Sequence[RunView]) -> list[Action]:
    """The writes that are missing, in order. Empty: Prefect shows the row."""
    actions: list[Action] = []
    by_number = {attempt.number: attempt for attempt in row.attempts}
    for run in runs:
        attempt = by_number.get(run.attempt)
        if run.is_final or run.attempt > row.attempt:
            continue
        if attempt is None or attempt.state is AttemptState.ENDED:
            actions += _ended(run, attempt)
        elif attempt.state is AttemptState.RUNNING and run.shown not in (Shown.RUNNING, Shown.CANCELLING):
            actions.append(Run(run_id=run.id))
    actions += _missing(by_number.get(row.attempt), runs)
    return actions + _ahead(row, [run for run in runs if run.attempt == row.attempt + 1])


def _missing(latest: AttemptView | None, runs: Sequence[RunView]) -> list[Action]:
    """The run of a running attempt, where somebody deleted it; that of a taken one is made by its claim."""
    if latest is None or latest.state is not AttemptState.RUNNING:
        return []
    mine = [run for run in runs if run.attempt == latest.number]
    if any(not run.is_final for run in mine):
        return []
    return [Create(attempt=latest.number, number=max((run.number for run in mine), default=0) + 1)]


def _ended(run: RunView, attempt: AttemptView | None) -> list[Action]:
    shown, text = outcome(attempt)
    # A run that ends was running: without that state Prefect would show no duration.
    ran = run.shown == Shown.PENDING and attempt is not None and attempt.exit_code is not None
    first: list[Action] = [Run(run_id=run.id)] if ran else []
    return [*first, End(run_id=run.id, shown=shown, text=text)]


def outcome(attempt: AttemptView | None) -> tuple[Shown, str]:
    """How an attempt that ended is shown: the state and its message."""
    if attempt is None:
        return Shown.CRASHED, "nothing is known of this attempt"
    if attempt.exit_code == 0 and attempt.reason is None:  # with a reason, it was asked to end
        return Shown.COMPLETED, "exit code 0"
    if attempt.cancelled_by:
        return Shown.CANCELLED, attempt.reason or f"cancelled by {attempt.cancelled_by}"
    if attempt.exit_code is None:
        return Shown.CRASHED if attempt.reason is None else Shown.FAILED, attempt.reason or "outcome unknown"
    return Shown.FAILED, attempt.reason or f"exit code {attempt.exit_code}"


def _ahead(row: RowView, runs: Sequence[RunView]) -> list[Action]:
    """The run of the attempt that is still to come."""
    number = max((run.number for run in runs), default=0) + 1
    alive = [run for run in runs if not run.is_final]
    here = [run for run in alive if run.queue_name == row.queue_name]
    actions: list[Action] = [Remove(run_id=run.id) for run in alive if run not in here[-1:]]
    if row.status.is_final:
        return actions + [_set_by_hand(run, row) for run in here[-1:]]
    if row.status not in (JobStatus.NEW, JobStatus.POSTPONED) and not row.is_called:
        return actions
    if not here:
        return [*actions, Create(attempt=row.attempt + 1, number=number)]
    return actions + _waiting(row, here[-1])


def _set_by_hand(run: RunView, row: RowView) -> Action:
    shown = Shown.COMPLETED if row.status is JobStatus.DONE else Shown.CANCELLED
    return End(run_id=run.id, shown=shown, text=row.reason.text if row.reason else f"set to {row.status}")


def _waiting(row: RowView, run: RunView) -> list[Action]:
    if row.status is JobStatus.POSTPONED:
        return [] if run.shown == Shown.PAUSED else [Hold(run_id=run.id)]
    name, text = waiting_state(row.reason)
    return [] if run.shown == name else [Wait(run_id=run.id, state_name=name, text=text)]


def waiting_state(reason: Reason | None) -> tuple[str, str]:
    """Name and message of the Scheduled state that shows why a job waits."""
    if reason is None:
        return WAITING_IN_LINE, "waits for its turn"
    return reason.code.state_name, reason.text
