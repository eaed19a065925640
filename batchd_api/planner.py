"""The planner: one pure function that says which jobs start now, and of every other why it waits.

It is the only place that decides order. In a queue, the jobs that may run start strictly by `seq`; a job
whose host cannot take it is passed over; one whose host must first be got ready is *called*: it holds its
turn in queue and host, and takes no worker. Between queues the one that has waited longest for a start goes
first, so that none starves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from batchd_api.planner_records import (
    BrokenSchedule,
    BusyView,
    DispatcherView,
    Held,
    HostState,
    HostView,
    JobView,
    Plan,
    QueueView,
    Start,
    World,
)
from batchd_api.planner_room import Room
from batchd_api.statuses import Reason, ReasonCode
from batchd_flows.windows import Schedule, is_open, next_change, next_opening, sentence

__all__ = [
    "BrokenSchedule",
    "BusyView",
    "DispatcherView",
    "Held",
    "HostState",
    "HostView",
    "JobView",
    "Plan",
    "QueueView",
    "Start",
    "World",
    "plan",
]

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def plan(world: World) -> Plan:
    """Decide. The same world gives the same plan."""
    reasons: dict[int, Reason] = {}
    waiting: dict[str, list[JobView]] = {}
    called: list[JobView] = []
    for queue in world.queues:
        jobs = sorted((job for job in world.jobs if job.queue_name == queue.name), key=lambda job: job.seq)
        barred = _barred(world, queue)
        for job in jobs:
            reason = barred or _not_before(world, job)
            if reason:
                reasons[job.id] = reason
            elif job.called:
                called.append(job)
            else:
                waiting.setdefault(queue.name, []).append(job)
    round_ = _Round(world, reasons)
    round_.go_on_with(called)
    round_.hand_out(waiting)
    return Plan(
        starts=tuple(round_.starts),
        reasons=reasons,
        look_again=_look_again(world),
        called=frozenset(round_.called),
    )


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
        return Reason(code=ReasonCode.NO_DISPATCHER, text=_nobody_serves(world, queue))
    return None


def _nobody_serves(world: World, queue: QueueView) -> str:
    idle = [dispatcher for dispatcher in world.dispatchers if dispatcher.is_for(queue.name)]
    if any(not dispatcher.reaches_prefect for dispatcher in idle):
        return f"no dispatcher that serves queue {queue.name} and is not draining reaches Prefect"
    draining = [dispatcher.name for dispatcher in idle]
    if draining:
        return (
            f"dispatcher {draining[0]} is draining: it takes no new jobs until it is restarted,"
            " or until `batchd drain --off`"
        )
    return f"no dispatcher that serves queue {queue.name} is alive"


def _not_before(world: World, job: JobView) -> Reason | None:
    if job.refusal is not None:
        return job.refusal
    if job.start_time is None or job.start_time <= world.now:
        return None
    local = job.start_time.astimezone(world.zone)
    text = f"starts at {local:%Y-%m-%d %H:%M} at the earliest"
    return Reason(code=ReasonCode.NOT_BEFORE, text=text, until=job.start_time)


class _Round:
    """Gives out what room there is, until nothing more fits."""

    def __init__(self, world: World, reasons: dict[int, Reason]) -> None:
        self.starts: list[Start] = []
        self.called: list[int] = []
        self._world = world
        self._reasons = reasons
        self._room = Room(world)

    def go_on_with(self, called: Sequence[JobView]) -> None:
        """Those that hold a turn come first: who is called is not overtaken."""
        for job in called:
            full = self._room.queue_limit(job.queue_name)
            if full:
                self._reasons[job.id] = full
            else:
                self._put(job, self._room.place(job))

    def hand_out(self, waiting: dict[str, list[JobView]]) -> None:
        """Give each queue's next job a place in turn, the queue that waited longest first."""
        turn = {queue.name: (queue.last_start or LONG_AGO, 0) for queue in self._world.queues}
        while waiting:
            name = min(waiting, key=lambda queue_name: (*turn[queue_name], queue_name))
            jobs = waiting[name]
            if (full := self._room.queue_full(name, jobs[0])) is not None:
                self._reasons[jobs[0].id] = full
                self._reasons.update(_behind(jobs[1:]))
                del waiting[name]
                continue
            if self._put(jobs[0], self._room.place(jobs.pop(0))):
                turn[name] = (self._world.now, len(self.starts) + len(self.called))
            if not jobs:
                del waiting[name]

    def _put(self, job: JobView, place: Start | Held | Reason) -> bool:
        """Whether it has got its turn."""
        if isinstance(place, Start):
            self.starts.append(place)
        elif isinstance(place, Held):
            self.called.append(job.id)
            self._reasons[job.id] = place.reason
        else:
            self._reasons[job.id] = place
        return not isinstance(place, Reason)


def _behind(jobs: Iterable[JobView]) -> dict[int, Reason]:
    reason = Reason(code=ReasonCode.POSITION, text="jobs before it in the queue come first")
    return {job.id: reason for job in jobs}


def _look_again(world: World) -> datetime | None:
    """The next moment at which time alone changes the answer."""
    moments = [job.start_time for job in world.jobs if job.start_time and job.start_time > world.now]
    moments += [host.until for host in world.hosts if host.until and host.until > world.now]
    moments += [job.refusal.until for job in world.jobs if job.refusal and job.refusal.until]
    with_jobs = {job.queue_name for job in world.jobs}
    for queue in world.queues:
        if queue.enabled and queue.name in with_jobs and isinstance(queue.schedule, Schedule):
            change = next_change(queue.schedule, world.now, world.zone)
            if change:
                moments.append(change)
    return min(moments, default=None)
