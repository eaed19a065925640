"""How much room there is: in queues, dispatchers, hosts, and for types on each of them."""

from __future__ import annotations

from collections import Counter

from batchd_api.planner_records import DispatcherView, Held, HostState, JobView, Start, World
from batchd_api.statuses import Reason, ReasonCode


class Room:
    """How much still fits, counted down as jobs are placed."""

    def __init__(self, world: World) -> None:
        self._dispatchers = world.dispatchers
        self._queues = {queue.name: queue for queue in world.queues}
        self._hosts = {host.name: host for host in world.hosts}
        self._type_limits = world.type_limits
        self._in_queue = Counter(busy.queue_name for busy in world.busy)
        self._held = Counter[str]()  # of those, the ones without a worker
        self._in_dispatcher = Counter(busy.dispatcher for busy in world.busy if not busy.is_elsewhere)
        self._on_host = Counter(busy.host_name for busy in world.busy)
        self._of_type = Counter(
            (_machine(busy.host_name, busy.dispatcher), busy.type_name)
            for busy in world.busy
            if not busy.is_elsewhere
        )

    def queue_limit(self, queue_name: str) -> Reason | None:
        limit = self._queues[queue_name].max_jobs
        running = self._in_queue[queue_name]
        if limit is not None and running >= limit:
            return Reason(code=ReasonCode.SLOTS, text=f"queue {queue_name} runs {running} of {limit} jobs")
        return None

    def queue_full(self, queue_name: str, job: JobView) -> Reason | None:
        """Why not even the queue's next job, which is this one, may go anywhere now."""
        return self.queue_limit(queue_name) or self._no_worker(queue_name) or self._enough_held(job)

    def _no_worker(self, queue_name: str) -> Reason | None:
        serving = [dispatcher for dispatcher in self._dispatchers if dispatcher.serves(queue_name)]
        is_tied = bool(serving) and self._queues[queue_name].is_tied
        if is_tied or any(self._free(dispatcher) > 0 for dispatcher in serving):
            return None
        workers = sum(dispatcher.workers for dispatcher in serving)
        return Reason(code=ReasonCode.SLOTS, text=f"all {workers} workers are busy")

    def _enough_held(self, job: JobView) -> Reason | None:
        """A queue without a limit of its own holds no more turns than there are workers to take them."""
        if not self._is_coming(job) or self._queues[job.queue_name].max_jobs is not None:
            return None
        workers = sum(d.workers for d in self._dispatchers if d.serves(job.queue_name))
        if self._held[job.queue_name] < workers:
            return None
        text = f"{workers} jobs of queue {job.queue_name} wait for their hosts already, as many as workers"
        return Reason(code=ReasonCode.SLOTS, text=text)

    def place(self, job: JobView) -> Start | Held | Reason:
        obstacle = self._host_obstacle(job)
        if obstacle:
            return obstacle
        serving = [d for d in self._dispatchers if d.serves(job.queue_name)]
        if self._queues[job.queue_name].is_tied:
            self._in_queue[job.queue_name] += 1
            return Start(job_id=job.id, dispatcher=serving[0].name, host_name=None)
        fitting = [dispatcher for dispatcher in serving if not self._type_full(job, dispatcher)]
        free = [dispatcher for dispatcher in fitting if self._free(dispatcher) > 0]
        if job.host_name and fitting and self._is_coming(job):
            return self._hold(job, ReasonCode.HOST_STARTING, self._hosts[job.host_name].text)
        if job.called and fitting and not free:
            return self._hold(job, ReasonCode.SLOTS, "its host is ready, and all workers are busy")
        if not free:
            where = job.host_name or "this machine"
            limit = self._type_limits[job.type_name]
            text = f"{where} runs {limit} jobs of type {job.type_name}, its limit"
            return Reason(code=ReasonCode.HOST_FULL, text=text)
        dispatcher = max(free, key=lambda dispatcher: (self._free(dispatcher), dispatcher.name))
        self._in_dispatcher[dispatcher.name] += 1
        self._count(job, dispatcher.name)
        return Start(job_id=job.id, dispatcher=dispatcher.name, host_name=job.host_name)

    def _hold(self, job: JobView, code: ReasonCode, text: str) -> Held:
        self._held[job.queue_name] += 1
        self._count(job, "")
        return Held(reason=Reason(code=code, text=text))

    def _count(self, job: JobView, dispatcher: str) -> None:
        self._in_queue[job.queue_name] += 1
        self._on_host[job.host_name] += 1
        self._of_type[_machine(job.host_name, dispatcher), job.type_name] += 1

    def _free(self, dispatcher: DispatcherView) -> int:
        return dispatcher.workers - self._in_dispatcher[dispatcher.name]

    def _is_coming(self, job: JobView) -> bool:
        host = self._hosts.get(job.host_name or "")
        return host is not None and host.state is HostState.COMING

    def _host_obstacle(self, job: JobView) -> Reason | None:
        if job.host_name is None:
            return None
        host = self._hosts.get(job.host_name)
        if host is None:
            return Reason(code=ReasonCode.HOST_FAILED, text=f"no file defines the host {job.host_name}")
        if host.state in _CLOSED:
            return Reason(code=_CLOSED[host.state], text=host.text, until=host.until)
        if host.max_jobs is not None and self._on_host[host.name] >= host.max_jobs:
            return Reason(code=ReasonCode.HOST_FULL, text=f"{host.name} runs {host.max_jobs} jobs, its limit")
        return None

    def _type_full(self, job: JobView, dispatcher: DispatcherView) -> bool:
        limit = self._type_limits.get(job.type_name)
        running = self._of_type[_machine(job.host_name, dispatcher.name), job.type_name]
        return limit is not None and running >= limit


_CLOSED = {HostState.FAILED: ReasonCode.HOST_FAILED, HostState.DRAINING: ReasonCode.HOST_FULL}


def _machine(host_name: str | None, dispatcher: str) -> tuple[str | None, str | None]:
    """What "one host" means for a limit: without a host, each dispatcher's own machine is one."""
    return (host_name, None) if host_name else (None, dispatcher)
