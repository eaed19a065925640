"""The current metrics. What the database knows is read from it, so that dispatchers in other processes count
too; of this process there are its requests and its memory.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, jobs, queues
from batchd_api.http_counts import HttpCounts
from batchd_api.metric_records import Distribution, Metric, counter, distribution, gauge, label
from batchd_api.services.ground import Ground
from batchd_api.services.run_times import LOCALHOST, run_time_distributions
from batchd_api.statuses import JobStatus
from batchd_api.world import alive_since

ON_STATES = frozenset({"on", "starting", "ready", "busy", "draining", "stopping"})


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """`daemon` is one of the three words that old clients know."""

    daemon: str = "Both"
    with_memory: bool = True
    with_http: bool = True


class Metrics:
    """`host_states`: host → its state in a word, for hosts that can be started; asked with a connection."""

    def __init__(
        self,
        ground: Ground,
        options: MetricOptions,
        http: HttpCounts,
        host_states: Callable[[Connection], Mapping[str, str]] = lambda _connection: {},
    ) -> None:
        self.ground = ground
        self._http = http
        self._host_states = host_states
        self.options = options

    def current(self, prefix: str = "") -> list[Metric]:
        """Every metric that there is now, zeros too, by name."""
        with self.ground.database.read() as connection:
            found = [*self._jobs(connection), *self._run_times(connection), *self._hosts(connection)]
        if self.options.with_http:
            found += http_metrics(self._http)
        if self.options.with_memory:
            found.append(gauge("rts.gc.current_bytes_used", memory_bytes()))
        return sorted((one for one in found if one.name.startswith(prefix)), key=lambda one: one.name)

    def current_records(self, prefix: str = "") -> list[dict[str, Any]]:
        """The same as records of one time."""
        now = self.ground.clock()
        return [one.record(now, self.options.daemon) for one in self.current(prefix)]

    def _jobs(self, connection: Connection) -> list[Metric]:
        by_queue = jobs_by_queue(connection)
        in_all = Counter[str]()
        for counts in by_queue.values():
            in_all.update(counts)
        found = [gauge(f"batchd.jobs.{status}", in_all[status]) for status in JobStatus]
        return found + [
            gauge(queue_metric(queue, status), counts[status])
            for queue, counts in by_queue.items()
            for status in JobStatus
        ]

    def _run_times(self, connection: Connection) -> list[Metric]:
        found = run_time_distributions(connection)
        types = {one.name for one in self.ground.job_types} | {type_name for type_name, _ in found}
        hosts = self._host_names() | {host for _, host in found}
        return [
            distribution("batchd.job.duration", _merged(found.values())),
            *(
                distribution(
                    f"batchd.job.duration.type.{name}", _merged(d for (t, _), d in found.items() if t == name)
                )
                for name in types
            ),
            *(
                distribution(
                    f"batchd.job.duration.host.{name}", _merged(d for (_, h), d in found.items() if h == name)
                )
                for name in hosts
            ),
        ]

    def _hosts(self, connection: Connection) -> list[Metric]:
        living, states = living_by_host(connection), dict(self._host_states(connection))
        if LOCALHOST not in self.ground.hosts and _a_dispatcher_lives(connection, self.ground):
            states.setdefault(LOCALHOST, "on")
        names = self._host_names() | living.keys()
        words = {name: _status(living[name], states.get(name)) for name in names}
        return [
            gauge("batchd.hosts.active", sum(word in ON_STATES for word in words.values())),
            gauge("batchd.hosts.busy", sum(living[name] > 0 for name in names)),
            *(gauge(f"batchd.host.{name}.jobs", living[name]) for name in names),
            *(label(f"batchd.host.{name}.status", words[name]) for name in names),
        ]

    def _host_names(self) -> set[str]:
        return {host.name for host in self.ground.hosts} | {LOCALHOST}


def queue_metric(queue: str, status: str) -> str:
    return f"batchd.queue.{queue}.jobs.{status}"


def jobs_by_queue(connection: Connection) -> dict[str, Counter[str]]:
    """Queue → status → how many; every queue, also one without jobs."""
    names = connection.execute(select(queues.c.name).order_by(queues.c.name)).scalars()
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    query = select(jobs.c.queue_name, jobs.c.status, func.count()).group_by(jobs.c.queue_name, jobs.c.status)
    for queue, status, count in connection.execute(query):
        counts.setdefault(queue, Counter())[status] = count
    return counts


def living_by_host(connection: Connection) -> Counter[str]:
    query = select(attempts.c.host_name, func.count()).where(IS_ALIVE).group_by(attempts.c.host_name)
    found = Counter[str]()
    for host, count in connection.execute(query):
        found[host or LOCALHOST] += count
    return found


def http_metrics(counts: HttpCounts) -> list[Metric]:
    return [
        counter("batchd.wai.request_count", counts.requests),
        distribution("batchd.wai.latency_distribution", counts.latency_seconds),
        *(counter(f"batchd.wai.response_status_{n}xx", count) for n, count in counts.responses.items()),
    ]


def memory_bytes() -> int:
    """What this process holds in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):  # no /proc: the most it ever held is the nearest
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _merged(parts: Iterable[Distribution]) -> Distribution:
    merged = Distribution()
    for part in parts:
        merged = merged.merged(part)
    return merged


def _status(jobs_there: int, state: str | None) -> str:
    if jobs_there:
        return "busy"
    return state or "unknown"


def _a_dispatcher_lives(connection: Connection, ground: Ground) -> bool:
    query = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(ground.clock())).limit(1)
    return connection.execute(query).first() is not None
