"""`/metrics`: the figures in Prometheus' own text, by its own library; nothing is kept between scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from batchd_api.http_counts import HttpCounts
from batchd_api.metric_records import Distribution
from batchd_api.services import tallies
from batchd_api.services.metrics import Metrics, Snapshot
from batchd_api.services.tallies import Tally
from batchd_api.statuses import JobStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_NAMES = 200  # queues, types or hosts that have a label of their own; the rest are one together
THE_REST = "(others)"


class Prometheus:
    """Blocking: a scrape reads the database once."""

    def __init__(self, metrics: Metrics, http: HttpCounts) -> None:
        self._metrics = metrics
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(metrics, http))
        if metrics.options.with_memory:
            ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Figures(Collector):
    def __init__(self, metrics: Metrics, http: HttpCounts) -> None:
        self._metrics = metrics
        self._http = http

    def collect(self) -> Iterable[Family]:
        seen = self._metrics.snapshot()
        yield from _jobs(seen)
        yield from _runs(seen.tallies)
        yield from _hosts(seen)
        yield from _dispatchers(seen)
        if self._metrics.options.with_http:
            yield from _http(self._http)

    def describe(self) -> Iterable[Family]:
        return ()  # nothing is asked of the database when it is registered


def _jobs(seen: Snapshot) -> Iterator[Family]:
    family = GaugeMetricFamily("batchd_jobs", "Jobs by queue and status.", labels=["queue", "status"])
    counted = [
        Tally(name="", queue=queue, detail=status, value=counts[status])
        for queue, counts in seen.jobs.items()
        for status in JobStatus
    ]
    for one in _bounded(counted):
        family.add_metric([one.queue, one.detail], one.value)
    yield family


def _runs(found: dict[str, list[Tally]]) -> Iterator[Family]:
    starts = CounterMetricFamily("batchd_job_starts", "Commands that were started.", labels=["queue", "type"])
    for one in _bounded(found.get(tallies.STARTS, ())):
        starts.add_metric([one.queue, one.type], one.value)
    ends = CounterMetricFamily(
        "batchd_job_ends",
        "Executions that ended: done, failed, cancelled.",
        labels=["queue", "type", "outcome"],
    )
    for one in _bounded(found.get(tallies.ENDS, ())):
        ends.add_metric([one.queue, one.type, one.detail], one.value)
    failures = CounterMetricFamily(
        "batchd_job_failures", "Executions that failed, by reason.", labels=["queue", "type", "reason"]
    )
    for one in _bounded(found.get(tallies.FAILURES, ())):
        failures.add_metric([one.queue, one.type, one.detail], one.value)
    yield from (starts, ends, failures)
    yield _histogram(
        "batchd_job_wait_seconds",
        "From enqueue, start time or last execution to the start of the command.",
        "queue",
        found.get(tallies.WAIT_BUCKET, ()),
        found.get(tallies.WAIT_SUM, ()),
    )
    yield _histogram(
        "batchd_job_run_seconds",
        "From the start of a command to its end.",
        "type",
        found.get(tallies.RUN_BUCKET, ()),
        found.get(tallies.RUN_SUM, ()),
    )


def _histogram(
    name: str, text: str, label: str, buckets: Sequence[Tally], sums: Sequence[Tally]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=[label])
    counts: dict[str, dict[str, float]] = {}
    for one in _bounded(buckets):
        counts.setdefault(getattr(one, label), {})[one.detail] = one.value
    totals = {getattr(one, label): one.value for one in _bounded(sums)}
    for value, of_it in counts.items():
        family.add_metric([value], tallies.cumulative(of_it), totals.get(value, 0.0))
    return family


def _hosts(seen: Snapshot) -> Iterator[Family]:
    here = GaugeMetricFamily("batchd_host_jobs", "Executions that live on a host.", labels=["host"])
    up = GaugeMetricFamily("batchd_host_on", "1 while the host is known to be on.", labels=["host"])
    for name in sorted(seen.host_words)[:MOST_NAMES]:
        here.add_metric([name], seen.living[name])
        up.add_metric([name], seen.is_on(name))
    starts = CounterMetricFamily("batchd_host_starts", "Machines that we started.", labels=["host"])
    for one in seen.tallies.get(tallies.HOST_STARTS, ())[:MOST_NAMES]:
        starts.add_metric([one.detail], one.value)
    minutes = CounterMetricFamily(
        "batchd_host_on_seconds", "How long machines that we started were on.", labels=["host"]
    )
    for one in seen.tallies.get(tallies.HOST_ON_SECONDS, ())[:MOST_NAMES]:
        minutes.add_metric([one.detail], one.value)
    yield from (here, up, starts, minutes)


def _dispatchers(seen: Snapshot) -> Iterator[Family]:
    yield GaugeMetricFamily("batchd_dispatchers", "Dispatchers that are alive.", len(seen.dispatchers))
    lag = GaugeMetricFamily(
        "batchd_mirror_lag_seconds",
        "Since when Prefect lacks something that it should show; 0: nothing.",
        labels=["dispatcher"],
    )
    for one in seen.tallies.get(tallies.MIRROR_LAG, ()):
        if one.detail in {name[: tallies.MAX_DETAIL_LENGTH] for name in seen.dispatchers}:
            lag.add_metric([one.detail], one.value)
    yield lag
    yield SummaryMetricFamily(
        "batchd_planner_seconds",
        "One look of the planner: reading the rows, and deciding.",
        count_value=int(_only(seen.tallies, tallies.PLANS)),
        sum_value=_only(seen.tallies, tallies.PLAN_SECONDS),
    )


def _http(counts: HttpCounts) -> Iterator[Family]:
    family = CounterMetricFamily(
        "batchd_http_responses", "Answers by the class of their status.", labels=["class"]
    )
    for number, count in counts.responses.items():
        family.add_metric([f"{number}xx"], count)
    latency: Distribution = counts.latency_seconds
    yield family
    yield CounterMetricFamily("batchd_http_requests", "Requests that came.", counts.requests)
    yield SummaryMetricFamily(
        "batchd_http_latency_seconds",
        "From a request to the beginning of its answer.",
        count_value=latency.count,
        sum_value=latency.mean * latency.count,
    )


def _only(found: dict[str, list[Tally]], name: str) -> float:
    return sum(one.value for one in found.get(name, ()))


def _bounded(counted: Iterable[Tally]) -> list[Tally]:
    """With at most MOST_NAMES queues and types; what the others counted is added up."""
    counted = list(counted)
    queues = set(sorted({one.queue for one in counted})[:MOST_NAMES])
    types = set(sorted({one.type for one in counted})[:MOST_NAMES])
    found: dict[tuple[str, str, str], Tally] = {}
    for one in counted:
        queue = one.queue if one.queue in queues else THE_REST
        job_type = one.type if one.type in types else THE_REST
        key = (queue, job_type, one.detail)
        before = found[key].value if key in found else 0.0
        found[key] = replace(one, queue=queue, type=job_type, value=before + one.value)
    return list(found.values())
