"""The planner: one pure function that says which jobs start now, and of every other why it waits.

It is the only place that decides order. In a queue, the jobs that may run start strictly by `seq`; a job
whose host cannot take it is passed over; between queues the one that has waited longest for a start goes
first, so that none starves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from batchd_api.statuses import Reason, ReasonCode
from batchd_flows.windows import Schedule, is_open, next_change, next_opening, sentence

LONG_AGO = datetime.min.replace(tzinfo=UTC)


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


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A New job. `host_name` is the effective one: the job's, its type's or its queue's; null = local."""

    id: int
    queue_name: str
    seq: int
    type_name: str
    start_time: datetime | None = None
    host_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class BusyView:
    """A living attempt: it holds a slot of its queue, its dispatcher, its host."""

    job_id: int
    queue_name: str
    type_name: str
    dispatcher: str
    host_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class DispatcherView:
    """A dispatcher that is alive. `queues` null = all."""

    name: str
    workers: int
    queues: frozenset[str] | None = None

    def serves(self, queue_name: str) -> bool:
        return self.queues is None or queue_name in self.queues


@dataclass(frozen=True, kw_only=True)
class HostView:
    """A host that jobs may name. `unusable` says in a sentence why no job can start there now."""

    name: str
    max_jobs: int | None = None
    unusable: str | None = None


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
class Plan:
    """What starts, why the rest waits, and when to look again at the latest (null: at the next change)."""

    starts: tuple[Start, ...]
    reasons: dict[int, Reason]
    look_again: datetime | None


def plan(world: World) -> Plan:
    """Decide. The same world gives the same plan."""
    reasons: dict[int, Reason] = {}
    waiting: dict[str, list[JobView]] = {}
    for queue in world.queues:
        jobs = sorted((job for job in world.jobs if job.queue_name == queue.name), key=lambda job: job.seq)
        barred = _barred(world, queue)
        for job in jobs:
            reason = barred or _not_before(world, job)
            if reason:
                reasons[job.id] = reason
            else:
                waiting.setdefault(queue.name, []).append(job)
    starts = _hand_out(world, waiting, reasons)
    return Plan(starts=tuple(starts), reasons=reasons, look_again=_look_again(world))


def _barred(world: World, queue: QueueView) -> Reason | None:
    """Why nothing of this queue may start, if so."""
    if not queue.enabled:
        return Reason(code=ReasonCode.QUEUE_DISABLED, text=f"queue {queue.name} is disabled")
    if isinstance(queue.schedule, BrokenSchedule):
        text = f"nothing starts in queue {queue.name}: {queue.schedule.fault}"
        return Reason(code=ReasonCode.WINDOW, text=text)
    if not is_open(queue.schedule, world.now, world.zone):
        opening = next_opening(queue.schedule, world.now, world.zone)
        text = sentence(queue.schedule, world.now, world.zone)
        return Reason(code=ReasonCode.WINDOW, text=text, until=opening)
    if world.prefect_down:
        return Reason(code=ReasonCode.PREFECT_DOWN, text=world.prefect_down)
    if not any(dispatcher.serves(queue.name) for dispatcher in world.dispatchers):
        return Reason(
            code=ReasonCode.NO_DISPATCHER, text=f"no dispatcher that serves queue {queue.name} is alive"
        )
    return None


def _not_before(world: World, job: JobView) -> Reason | None:
    if job.start_time is None or job.start_time <= world.now:
        return None
    local = job.start_time.astimezone(world.zone)
    text = f"starts at {local:%Y-%m-%d %H:%M} at the earliest"
    return Reason(code=ReasonCode.NOT_BEFORE, text=text, until=job.start_time)


def _hand_out(world: World, waiting: dict[str, list[JobView]], reasons: dict[int, Reason]) -> list[Start]:
    """Give each queue's next job a place in turn, the queue that waited longest first, until none fits."""
    room = _Room(world)
    turn = {queue.name: (queue.last_start or LONG_AGO, 0) for queue in world.queues}
    starts: list[Start] = []
    while waiting:
        name = min(waiting, key=lambda queue_name: (*turn[queue_name], queue_name))
        jobs = waiting[name]
        full = room.queue_full(name)
        if full:
            reasons[jobs[0].id] = full
            reasons.update(_behind(jobs[1:]))
            del waiting[name]
            continue
        job = jobs.pop(0)
        place = room.place(job)
        if isinstance(place, Reason):
            reasons[job.id] = place
        else:
            starts.append(place)
            turn[name] = (world.now, len(starts))
        if not jobs:
            del waiting[name]
    return starts


def _behind(jobs: Iterable[JobView]) -> dict[int, Reason]:
    reason = Reason(code=ReasonCode.POSITION, text="jobs before it in the queue come first")
    return {job.id: reason for job in jobs}


class _Room:
    """How much still fits, counted down as jobs are placed."""

    def __init__(self, world: World) -> None:
        self._dispatchers = world.dispatchers
        self._queues = {queue.name: queue for queue in world.queues}
        self._hosts = {host.name: host for host in world.hosts}
        self._type_limits = world.type_limits
        self._in_queue = Counter(busy.queue_name for busy in world.busy)
        self._in_dispatcher = Counter(busy.dispatcher for busy in world.busy)
        self._on_host = Counter(busy.host_name for busy in world.busy)
        self._of_type = Counter(
            (_machine(busy.host_name, busy.dispatcher), busy.type_name) for busy in world.busy
        )

    def queue_full(self, queue_name: str) -> Reason | None:
        limit = self._queues[queue_name].max_jobs
        running = self._in_queue[queue_name]
        if limit is not None and running >= limit:
            return Reason(code=ReasonCode.SLOTS, text=f"queue {queue_name} runs {running} of {limit} jobs")
        serving = [dispatcher for dispatcher in self._dispatchers if dispatcher.serves(queue_name)]
        if all(self._free(dispatcher) <= 0 for dispatcher in serving):
            workers = sum(dispatcher.workers for dispatcher in serving)
            return Reason(code=ReasonCode.SLOTS, text=f"all {workers} workers are busy")
        return None

    def place(self, job: JobView) -> Start | Reason:
        obstacle = self._host_obstacle(job)
        if obstacle:
            return obstacle
        free = [d for d in self._dispatchers if d.serves(job.queue_name) and self._free(d) > 0]
        fitting = [dispatcher for dispatcher in free if not self._type_full(job, dispatcher)]
        if not fitting:
            where = job.host_name or "this machine"
            limit = self._type_limits[job.type_name]
            text = f"{where} runs {limit} jobs of type {job.type_name}, its limit"
            return Reason(code=ReasonCode.HOST_FULL, text=text)
        dispatcher = max(fitting, key=lambda dispatcher: (self._free(dispatcher), dispatcher.name))
        self._in_queue[job.queue_name] += 1
        self._in_dispatcher[dispatcher.name] += 1
        self._on_host[job.host_name] += 1
        self._of_type[_machine(job.host_name, dispatcher.name), job.type_name] += 1
        return Start(job_id=job.id, dispatcher=dispatcher.name, host_name=job.host_name)

    def _free(self, dispatcher: DispatcherView) -> int:
        return dispatcher.workers - self._in_dispatcher[dispatcher.name]

    def _host_obstacle(self, job: JobView) -> Reason | None:
        if job.host_name is None:
            return None
        host = self._hosts.get(job.host_name)
        if host is None:
            return Reason(code=ReasonCode.HOST_FAILED, text=f"no file defines the host {job.host_name}")
        if host.unusable:
            return Reason(code=ReasonCode.HOST_FAILED, text=host.unusable)
        if host.max_jobs is not None and self._on_host[host.name] >= host.max_jobs:
            return Reason(code=ReasonCode.HOST_FULL, text=f"{host.name} runs {host.max_jobs} jobs, its limit")
        return None

    def _type_full(self, job: JobView, dispatcher: DispatcherView) -> bool:
        limit = self._type_limits.get(job.type_name)
        running = self._of_type[_machine(job.host_name, dispatcher.name), job.type_name]
        return limit is not None and running >= limit


def _machine(host_name: str | None, dispatcher: str) -> tuple[str | None, str | None]:
    """What "one host" means for a limit: without a host, each dispatcher's own machine is one."""
    return (host_name, None) if host_name else (None, dispatcher)


def _look_again(world: World) -> datetime | None:
    """The next moment at which time alone changes the answer."""
    moments = [job.start_time for job in world.jobs if job.start_time and job.start_time > world.now]
    with_jobs = {job.queue_name for job in world.jobs}
    for queue in world.queues:
        if queue.enabled and queue.name in with_jobs and isinstance(queue.schedule, Schedule):
            change = next_change(queue.schedule, world.now, world.zone)
            if change:
                moments.append(change)
    return min(moments, default=None)
