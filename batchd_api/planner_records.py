"""What the planner is given and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from batchd_api.statuses import Reason
from batchd_flows.windows import Schedule


@dataclass(frozen=True, kw_only=True)
class BrokenSchedule:
    """A stored schedule that cannot be read: nothing starts by it. `fault` says what is wrong with it."""

    name: str
    fault: str


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """What the planner must know of a queue. `last_start` is when it last had a turn."""

    name: str
    enabled: bool
    schedule: Schedule | BrokenSchedule
    max_jobs: int | None = None
    last_start: datetime | None = None
    is_tied: bool = False  # to another work pool, whose workers are as many as they are


@dataclass(kw_only=True, slots=True)  # never changed; to freeze it would cost most of a long queue's look
class JobView:
    """A New job, or one that was called. `host_name` is its own, its type's or its queue's; null = local."""

    id: int
    queue_name: str
    seq: int
    type_name: str
    start_time: datetime | None = None
    host_name: str | None = None
    called: bool = False
    refusal: Reason | None = None  # Prefect's, of this job alone; with the time it ends


@dataclass(frozen=True, kw_only=True)
class BusyView:
    """A living attempt: it holds a slot of its queue, its dispatcher, its host."""

    job_id: int
    queue_name: str
    type_name: str
    dispatcher: str
    host_name: str | None = None
    is_elsewhere: bool = False  # a worker of another work pool runs it: it takes none of the dispatcher's


@dataclass(frozen=True, kw_only=True)
class DispatcherView:
    """A dispatcher that is alive. `queues` null = all.

    One that is draining takes no new jobs, nor does one that does not reach Prefect.
    """

    name: str
    workers: int
    queues: frozenset[str] | None = None
    draining: bool = False
    reaches_prefect: bool = True

    def serves(self, queue_name: str) -> bool:
        return not self.draining and self.reaches_prefect and self.is_for(queue_name)

    def is_for(self, queue_name: str) -> bool:
        return self.queues is None or queue_name in self.queues


class HostState(StrEnum):
    READY = "ready"
    COMING = "coming"  # being got ready, or it will be as soon as a job is called
    DRAINING = "draining"  # takes no new jobs until a person says so
    FAILED = "failed"  # until the next try


@dataclass(frozen=True, kw_only=True)
class HostView:
    """A host that jobs may name. `text` says in a sentence how it is, where it is not ready."""

    name: str
    max_jobs: int | None = None
    state: HostState = HostState.READY
    text: str = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything the decision rests on, at one moment."""

    now: datetime
    zone: ZoneInfo
    queues: Sequence[QueueView] = ()
    jobs: Sequence[JobView] = ()  # of each queue, its first New ones
    busy: Sequence[BusyView] = ()
    dispatchers: Sequence[DispatcherView] = ()
    hosts: Sequence[HostView] = ()
    type_limits: dict[str, int] = field(default_factory=dict)  # job type → jobs of it on one host
    prefect_down: str | None = None  # a sentence, while Prefect does not answer


@dataclass(frozen=True, kw_only=True)
class Start:
    """This job starts now, in that dispatcher, on that host (null = the dispatcher's own machine)."""

    job_id: int
    dispatcher: str
    host_name: str | None


@dataclass(frozen=True, kw_only=True)
class Held:
    """This job has its turn, and waits for its host or a worker."""

    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What starts, why the rest waits, and when to look again at the latest (null: at the next change).

    `called`: of those that wait, the ones that hold their turn.
    """

    starts: tuple[Start, ...]
    reasons: dict[int, Reason]
    look_again: datetime | None
    called: frozenset[int] = frozenset()
