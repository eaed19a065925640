"""What follows when Prefect shows something else than we wrote: a person did that, in its UI or by its API.

A table, as data: what the job is doing × what was seen → what we do. docs/states.md shows the same table, and
a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from batchd_api.reconcile import RowView, RunView, Shown
from batchd_api.statuses import AttemptState, JobStatus

UNKNOWN = "?"  # in the books' `shown`: somebody wrote over it, so it is due to be written again
RESUMING = "Resuming"


class Phase(StrEnum):
    """What the run stands for."""

    WAITING = "waits"  # the coming attempt of a New job, or of one whose host is being got ready
    HELD = "held"  # the coming attempt of a Postponed job
    ALIVE = "alive"  # an attempt that is taken or runs
    LATEST = "ended"  # the last attempt of a Done or Failed job
    PAST = "past"  # an earlier attempt


class Sight(StrEnum):
    """What Prefect shows, where it is not what we wrote."""

    CANCEL = "CANCELLING, CANCELLED"
    PAUSED = "PAUSED"
    RESUMED = "Resuming, RUNNING"
    SCHEDULED = "AwaitingRetry, Scheduled"
    OTHER = "another state"
    STRAYED = "pool deleted"
    GONE = "run deleted"


class Answer(StrEnum):
    """What we do about it."""

    NOTHING = "nothing"
    PUT_BACK = "put back"
    FAIL = "Failed, cancelled in Prefect"
    CANCEL = "tree ended, then CANCELLED"
    POSTPONE = "Postponed"
    RELEASE = "New"
    RUN_AGAIN = "New: new attempt, new flow run; the old run gets its final state back"
    FORGET = "made again"
    REMAKE = "dead run deleted and remade"


_FINAL = {
    Sight.CANCEL: Answer.PUT_BACK,
    Sight.PAUSED: Answer.PUT_BACK,
    Sight.RESUMED: Answer.PUT_BACK,
    Sight.SCHEDULED: Answer.PUT_BACK,
    Sight.OTHER: Answer.PUT_BACK,
    Sight.STRAYED: Answer.NOTHING,
    Sight.GONE: Answer.FORGET,
}
_LIVE = {**_FINAL, Sight.STRAYED: Answer.REMAKE}

TABLE: Mapping[Phase, Mapping[Sight, Answer]] = {
    Phase.WAITING: {**_LIVE, Sight.CANCEL: Answer.FAIL, Sight.PAUSED: Answer.POSTPONE},
    # A pause of the UI's own has a timeout after which the server writes FAILED: ours is written over it.
    Phase.HELD: {**_LIVE, Sight.CANCEL: Answer.FAIL, Sight.RESUMED: Answer.RELEASE},
    # The UI's pause stops nothing.
    Phase.ALIVE: {**_LIVE, Sight.CANCEL: Answer.CANCEL},
    Phase.LATEST: {**_FINAL, Sight.SCHEDULED: Answer.RUN_AGAIN},
    Phase.PAST: _FINAL,
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A run as Prefect has it now. `keeps` is False for a pause that would not last."""

    state_type: str
    state_name: str
    in_pool: bool = True
    keeps: bool = True


def respond(row: RowView, run: RunView, seen: Seen | None) -> Answer:
    """`seen` null: the run is not there any more."""
    sight = sight_of(run, seen)
    return Answer.NOTHING if sight is None else TABLE[phase_of(row, run)][sight]


def phase_of(row: RowView, run: RunView) -> Phase:
    if run.attempt > row.attempt:
        if row.status is JobStatus.NEW or row.is_called:
            return Phase.WAITING
        return Phase.HELD if row.status is JobStatus.POSTPONED else Phase.LATEST
    attempt = next((attempt for attempt in row.attempts if attempt.number == run.attempt), None)
    if attempt is not None and attempt.state is not AttemptState.ENDED:
        return Phase.ALIVE
    return Phase.LATEST if run.attempt == row.attempt and row.status.is_final else Phase.PAST


def sight_of(run: RunView, seen: Seen | None) -> Sight | None:
    """None: it is as we wrote it, or due to be written anyway."""
    if seen is None:
        return Sight.GONE
    if not seen.in_pool:
        return Sight.STRAYED
    if run.shown == UNKNOWN or _as_written(run, seen):
        return None
    if seen.state_type in (Shown.CANCELLING, Shown.CANCELLED):
        return Sight.CANCEL
    if seen.state_type == Shown.PAUSED:
        return Sight.PAUSED
    if seen.state_type == Shown.RUNNING or seen.state_name == RESUMING:
        return Sight.RESUMED
    return Sight.SCHEDULED if seen.state_type == "SCHEDULED" else Sight.OTHER


def _as_written(run: RunView, seen: Seen) -> bool:
    if seen.state_type == "SCHEDULED":
        return seen.state_name == run.shown
    if run.shown == Shown.CANCELLING:  # noticed already; the tree is being ended
        return seen.state_type in (Shown.CANCELLING, Shown.CANCELLED)
    return seen.state_type == run.shown and seen.keeps
