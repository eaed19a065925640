"""The current metrics. What the database knows is read from it, so that dispatchers in other processes count
too; of this process there are its requests and its memory.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from batchd_api.alive import alive_since
from batchd_api.db.job_counts import numbers
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, queues
from batchd_api.http_counts import HttpCounts
from batchd_api.metric_records import Distribution, Metric, counter, distribution, gauge, label
from batchd_api.services.ground import Ground
from batchd_api.services.run_times import LOCALHOST, run_time_distributions
from batchd_api.services.tallies import Tally, read
from batchd_api.statuses import JobStatus

ON_STATES = frozenset({"on", "starting", "ready", "busy", "stopping"})


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """`daemon` is one of the three words that old clients know."""

    daemon: str = "Both"
    with_memory: bool = True
    with_http: bool = True


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the database says at one moment. `host_words`: each known host's state in a word."""

    jobs: Mapping[str, Counter[str]]  # queue → status → how many
    run_times: Mapping[tuple[str, str], Distribution]  # type and host
    living: Counter[str]  # host → executions there
    host_words: Mapping[str, str]
    dispatchers: tuple[str, ...]
    tallies: dict[str, list[Tally]]

    def is_on(self, host: str) -> bool:
        return self.host_words[host] in ON_STATES


class Metrics:
    """`host_states`: host → its state in a word, of machines that are known."""

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
        seen = self.snapshot()
        found = [*_jobs(seen), *self._run_times(seen), *_hosts(seen)]
        if self.options.with_http:
            found += http_metrics(self._http)
        if self.options.with_memory:
            found.append(gauge("rts.gc.current_bytes_used", memory_bytes()))
        return sorted((one for one in found if one.name.startswith(prefix)), key=lambda one: one.name)

    def current_records(self, prefix: str = "") -> list[dict[str, Any]]:
        """The same as records of one time."""
        now = self.ground.clock()
        return [one.record(now, self.options.daemon) for one in self.current(prefix)]

    def snapshot(self) -> Snapshot:
        with self.ground.database.read() as connection:
            living = living_by_host(connection)
            alive = _living_dispatchers(connection, self.ground.clock())
            states = dict(self._host_states(connection))
            return Snapshot(
                jobs=jobs_by_queue(connection),
                run_times=run_time_distributions(connection),
                living=living,
                host_words=self._host_words(living, states, some_dispatcher=bool(alive)),
                dispatchers=alive,
                tallies=read(connection),
            )

    def _host_words(
        self, living: Counter[str], states: dict[str, str], *, some_dispatcher: bool
    ) -> dict[str, str]:
        if LOCALHOST not in self.ground.hosts and some_dispatcher:
            states.setdefault(LOCALHOST, "on")
        return {
            name: "busy" if living[name] else states.get(name, "unknown")
            for name in self._host_names() | living.keys()
        }

    def _run_times(self, seen: Snapshot) -> list[Metric]:
        found = seen.run_times
        types = {one.name for one in self.ground.job_types} | {type_name for type_name, _ in found}
        hosts = self._host_names() | {host for _, host in found}
        by_type = {name: _merged(d for (t, _), d in found.items() if t == name) for name in types}
        by_host = {name: _merged(d for (_, h), d in found.items() if h == name) for name in hosts}
        return [
            distribution("batchd.job.duration", _merged(found.values())),
            *(distribution(f"batchd.job.duration.type.{name}", figure) for name, figure in by_type.items()),
            *(distribution(f"batchd.job.duration.host.{name}", figure) for name, figure in by_host.items()),
        ]

    def _host_names(self) -> set[str]:
        return {host.name for host in self.ground.hosts} | {LOCALHOST}


def _jobs(seen: Snapshot) -> list[Metric]:
    in_all = Counter[str]()
    for counts in seen.jobs.values():
        in_all.update(counts)
    return [
        *(gauge(f"batchd.jobs.{status}", in_all[status]) for status in JobStatus),
        *(
            gauge(queue_metric(queue, status), counts[status])
            for queue, counts in seen.jobs.items()
            for status in JobStatus
        ),
    ]


def _hosts(seen: Snapshot) -> list[Metric]:
    names = seen.host_words
    return [
        gauge("batchd.hosts.active", sum(seen.is_on(name) for name in names)),
        gauge("batchd.hosts.busy", sum(seen.living[name] > 0 for name in names)),
        *(gauge(f"batchd.host.{name}.jobs", seen.living[name]) for name in names),
        *(label(f"batchd.host.{name}.status", word) for name, word in names.items()),
    ]


def queue_metric(queue: str, status: str) -> str:
    return f"batchd.queue.{queue}.jobs.{status}"


def jobs_by_queue(connection: Connection) -> dict[str, Counter[str]]:
    """Queue → status → how many; every queue, also one without jobs."""
    names = connection.execute(select(queues.c.name).order_by(queues.c.name)).scalars()
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for queue, status, count in connection.execute(numbers()):
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


def _living_dispatchers(connection: Connection, now: datetime) -> tuple[str, ...]:
    query = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(now))
    return tuple(connection.execute(query.order_by(dispatchers.c.name)).scalars())
