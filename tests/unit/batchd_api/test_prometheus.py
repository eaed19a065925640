"""/metrics: read by Prometheus' own parser; documented; drawn by the dashboard."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchd_api import prometheus
from batchd_api.host_ledger import host_phases, write_entry
from batchd_api.http_counts import HttpCounts
from batchd_api.metric_keeping import MetricKeeper
from batchd_api.prometheus import Prometheus
from batchd_api.retention import MetricRetention
from batchd_api.services import tallies
from batchd_api.services.metric_history import MetricHistory
from batchd_api.services.metrics import MetricOptions, Metrics
from batchd_api.services.tallies import Tally
from batchd_infra.host_ledger import HostEntry, HostPhase
from tests.ground import NOW, Installation

DOCS = Path(__file__).parents[3] / "docs"


class Figures:
    """A scrape, by sample name and labels."""

    def __init__(self, here: Installation, http: HttpCounts | None = None, **options: Any) -> None:
        http = http or HttpCounts()
        made = Metrics(here.ground, MetricOptions(**options), http, host_phases)
        text = Prometheus(made, http).text().decode()
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def of(self, name: str, **labels: str) -> float:
        (found,) = [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]
        return float(found)


def a_run_and_a_host(here: Installation) -> None:
    here.dispatcher()
    with here.database.write() as connection:
        since = NOW - timedelta(seconds=30)
        tallies.add(connection, tallies.of_a_start("default", "command", may_run_since=since, at=NOW))
        tallies.add(connection, [Tally(name=name) for name in (tallies.PLANS, tallies.PLAN_SECONDS)])
        for name in (tallies.ENDS, tallies.FAILURES):
            tallies.add(connection, [Tally(name=name, queue="default", type="command", detail="timeout")])
        for name in (tallies.RUN_BUCKET, tallies.RUN_SUM):
            tallies.add(
                connection, [Tally(name=name, type="command", detail="60" if "bucket" in name else "")]
            )
        tallies.put(connection, Tally(name=tallies.MIRROR_LAG, detail="d", value=1.5))
        write_entry(connection, "farm", lambda known: known.entered(HostPhase.STARTING, NOW))
        tallies.add(connection, [Tally(name=tallies.HOST_ON_SECONDS, detail="farm", value=60)])


def test_prometheus_reads_what_is_said(everywhere: Installation) -> None:
    here = everywhere
    here.enqueue()
    a_run_and_a_host(here)
    http = HttpCounts()
    http.asked()
    http.answered(404, 0.5)
    found = Figures(here, http)
    assert found.of("batchd_jobs", queue="default", status="New") == 1
    assert found.of("batchd_jobs", queue="default", status="Failed") == 0
    assert found.of("batchd_job_starts_total", queue="default", type="command") == 1
    assert found.of("batchd_job_wait_seconds_bucket", queue="default", le="10") == 0
    assert found.of("batchd_job_wait_seconds_bucket", queue="default", le="60") == 1
    assert found.of("batchd_job_wait_seconds_count", queue="default") == 1
    assert found.of("batchd_job_wait_seconds_sum", queue="default") == 30
    assert found.of("batchd_host_on", host="farm") == 1
    assert found.of("batchd_host_on", host="lab") == 0
    assert found.of("batchd_host_starts_total", host="farm") == 1
    assert found.of("batchd_dispatchers") == 1
    assert found.of("batchd_mirror_lag_seconds", dispatcher="d") == 1.5
    assert found.of("batchd_http_responses_total", **{"class": "4xx"}) == 1
    assert found.of("batchd_http_latency_seconds_sum") == 0.5
    assert found.of("process_resident_memory_bytes") > 0


def test_the_lag_of_a_dispatcher_that_is_gone_is_not_told(here: Installation) -> None:
    with here.database.write() as connection:
        tallies.put(connection, Tally(name=tallies.MIRROR_LAG, detail="gone", value=9))
    names = {sample.name for sample in Figures(here).samples}
    assert "batchd_mirror_lag_seconds" not in names


def test_labels_are_bounded(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MOST_NAMES", 2)
    for number in range(4):
        here.queue(f"z{number}")
        here.enqueue(f"z{number}")
    found = Figures(here)
    queues = {sample.labels["queue"] for sample in found.samples if sample.name == "batchd_jobs"}
    assert queues == {"default", "z0", "(others)"}
    assert found.of("batchd_jobs", queue="(others)", status="New") == 3


def test_figures_of_requests_and_of_the_process_can_be_left_out(here: Installation) -> None:
    names = {family.name for family in Figures(here, with_memory=False, with_http=False).families}
    assert not [name for name in names if name.startswith(("process_", "batchd_http"))]


def own_names(here: Installation) -> set[str]:
    """As PromQL knows them: counters with their ending."""
    a_run_and_a_host(here)
    families = [family for family in Figures(here).families if family.name.startswith("batchd_")]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_the_documentation_names_each_of_them_and_no_other(here: Installation) -> None:
    rows = re.findall(r"^\| `(batchd_\w+)` \|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    assert set(rows) == own_names(here)
    assert len(rows) == len(set(rows))


def test_every_expression_of_the_dashboard_names_metrics_that_exist(here: Installation) -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions.append(dashboard["templating"]["list"][1]["query"]["query"])
    a_run_and_a_host(here)
    known = {sample.name for sample in Figures(here).samples}
    assert len(expressions) > 10
    for expression in expressions:
        named = set(re.findall(r"\b(?:batchd|process)_\w+", expression))
        assert named, expression
        assert named <= known, expression


def test_minutes_of_our_machines_are_counted_at_each_dump(here: Installation) -> None:
    made = Metrics(here.ground, MetricOptions(), HttpCounts())
    keeper = MetricKeeper(
        metrics=made,
        history=MetricHistory(here.database),
        retention=MetricRetention(here.database, 3),
        dump_seconds=10,
    )
    with here.database.write() as connection:
        write_entry(
            connection, "farm", lambda known: HostEntry(name="farm", phase=HostPhase.READY, ours=True)
        )
        write_entry(connection, "lab", lambda known: HostEntry(name="lab", phase=HostPhase.READY))
    keeper.dump()
    keeper.dump()
    with here.database.read() as connection:
        (found,) = tallies.read(connection)[tallies.HOST_ON_SECONDS]
    assert (found.detail, found.value) == ("farm", 20)
