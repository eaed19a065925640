"""Two hours of a busy night in the metrics' history, as a daemon would have stored them every two minutes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from batchd_api.metric_records import Distribution, Kind, Metric, counter, gauge
from batchd_api.services.metric_history import Dump
from batchd_api.statuses import JobStatus
from tests.facade import Facade
from tests.ground import NOW

STEPS = 60


def two_hours(facade: Facade) -> None:
    history = facade.app.state.services.metric_history
    for n in range(STEPS + 1):
        time = NOW - timedelta(minutes=2 * (STEPS - n))
        history.store(Dump(time=time, daemon="Both", metrics=tuple(_metrics(n))))


def _metrics(n: int) -> Iterator[Metric]:
    waiting = max(0, 34 - n // 2 + n % 3)
    counts = {"New": waiting, "Processing": 2 + n % 2, "Failed": n // 20, "Done": n}
    for status in JobStatus:
        yield gauge(f"batchd.queue.night.jobs.{status}", counts.get(status, 0))
    yield gauge("batchd.hosts.active", 1 + (n > 20) + (n > 40))
    yield gauge("batchd.hosts.busy", 1 + (n > 25))
    for number, count in ((2, 220 * n + (n % 5) * 60), (3, 400 * n + (n % 7) * 40), (4, 2 * n)):
        yield counter(f"batchd.wai.response_status_{number}xx", count)
    yield _distribution("batchd.wai.latency_distribution", 500 * n, 2.1 * n + (n % 4) * 0.4)
    yield gauge("rts.gc.current_bytes_used", 118_000_000 + 90_000 * n + (n % 9) * 700_000)
    yield _distribution("batchd.job.duration", n, 260.0 * n + (n % 3) * 30)
    yield _distribution("batchd.job.duration.type.render", n // 2, (n // 2) * 300.0)


def _distribution(name: str, count: int, total: float) -> Metric:
    mean = total / count if count else 0.0
    figure = Distribution(count=count, mean=mean, squares=0.0, min=mean, max=mean)
    return Metric(name=name, kind=Kind.DISTRIBUTION, figure=figure)
