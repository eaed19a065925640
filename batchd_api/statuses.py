"""What a job and an attempt can be, and why a job waits: the words of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class JobStatus(StrEnum):
    """The words of JSON bodies; `?status=` and statistics keys have them in lower case."""

    NEW = "New"
    WAITING = "Waiting"
    PROCESSING = "Processing"
    DONE = "Done"
    FAILED = "Failed"
    POSTPONED = "Postponed"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.DONE, JobStatus.FAILED)


class AttemptState(StrEnum):
    """An attempt is alive until its whole process tree is gone."""

    TAKEN = "taken"  # planned and written down; its command has not started
    RUNNING = "running"
    ENDED = "ended"


class ReasonCode(StrEnum):
    """Why a waiting job waits."""

    WINDOW = "window"
    QUEUE_DISABLED = "queue-disabled"
    NOT_BEFORE = "not-before"
    POSITION = "position"
    SLOTS = "slots"
    HOST_FULL = "host-full"
    HOST_STARTING = "host-starting"
    HOST_FAILED = "host-failed"
    POSTPONED = "postponed"
    NO_DISPATCHER = "no-dispatcher"
    PREFECT_DOWN = "prefect-down"

    @property
    def state_name(self) -> str:
        """The name of the flow run's Scheduled state that shows this reason."""
        return _STATE_NAMES[self]


_STATE_NAMES = {
    ReasonCode.WINDOW: "WaitingForWindow",
    ReasonCode.QUEUE_DISABLED: "QueueDisabled",
    ReasonCode.NOT_BEFORE: "WaitingForStartTime",
    ReasonCode.POSITION: "InQueue",
    ReasonCode.SLOTS: "WaitingForSlot",
    ReasonCode.HOST_FULL: "HostFull",
    ReasonCode.HOST_STARTING: "StartingHost",
    ReasonCode.HOST_FAILED: "HostFailed",
    ReasonCode.POSTPONED: "Postponed",
    ReasonCode.NO_DISPATCHER: "NoDispatcher",
    ReasonCode.PREFECT_DOWN: "PrefectDown",
}


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A code for programs, a sentence for people, and the moment it ends where that is known."""

    code: ReasonCode
    text: str
    until: datetime | None = None
