"""The current metrics, on each kind of database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from batchd_api.http_counts import HttpCounts
from batchd_api.recorder import Recorder
from batchd_api.services.metrics import MetricOptions, Metrics
from batchd_api.statuses import JobStatus
from batchd_flows.job_types import OnFail
from batchd_flows.run import Outcome
from tests.ground import NOW, Installation, statements


def metrics(here: Installation, **options: Any) -> Metrics:
    return Metrics(here.ground, MetricOptions(**options), HttpCounts())


def figures(here: Installation, prefix: str = "") -> dict[str, Any]:
    return {one.name: one.figure for one in metrics(here).current(prefix)}


def run(here: Installation, seconds: float, *, exit_code: int = 0, **fields: Any) -> None:
    job_id = here.enqueue(**fields)
    here.attempt(job_id, state="taken", started_at=None)
    recorder = Recorder(here.database)
    (attempt,) = recorder.alive("d")
    recorder.started(attempt, NOW)
    end = NOW + timedelta(seconds=seconds)
    recorder.ended(attempt, Outcome(exit_code=exit_code, ended_at=end), OnFail(), end)


def test_every_metric_is_there_from_the_start_zeros_too(here: Installation) -> None:
    names = set(figures(here))
    assert names >= {f"batchd.jobs.{status}" for status in JobStatus}
    assert names >= {f"batchd.queue.default.jobs.{status}" for status in JobStatus}
    assert names >= {
        "batchd.job.duration",
        "batchd.job.duration.host.localhost",
        "batchd.job.duration.host.farm",
    }
    assert names >= {"batchd.job.duration.type.render", "batchd.job.duration.type.command"}
    assert names >= {
        "batchd.hosts.active",
        "batchd.hosts.busy",
        "batchd.host.farm.jobs",
        "batchd.host.lab.status",
    }
    assert names >= {f"batchd.wai.response_status_{n}xx" for n in range(1, 6)}
    assert names >= {
        "batchd.wai.request_count",
        "batchd.wai.latency_distribution",
        "rts.gc.current_bytes_used",
    }


def test_jobs_are_counted_in_their_queue_and_in_all(everywhere: Installation) -> None:
    here = everywhere
    here.queue("night.shift")
    for queue in ("default", "default", "night.shift"):
        here.enqueue(queue)
    here.set_job(here.enqueue(), status="Done", end_time=NOW)
    found = figures(here)
    assert (found["batchd.jobs.New"], found["batchd.jobs.Done"], found["batchd.jobs.Failed"]) == (3, 1, 0)
    assert found["batchd.queue.default.jobs.New"] == 2
    assert found["batchd.queue.night.shift.jobs.New"] == 1


def test_run_times_are_kept_by_type_and_host_and_outlive_their_jobs(everywhere: Installation) -> None:
    here = everywhere
    run(here, 10)
    run(here, 20, exit_code=1)
    run(here, 60, type="render", params={"input": "a"})
    all_of_them = figures(here)["batchd.job.duration"]
    assert (all_of_them.count, all_of_them.mean, all_of_them.min, all_of_them.max) == (3, 30, 10, 60)
    assert all_of_them.figures()["variance"] == pytest.approx(466.667, abs=0.01)
    found = figures(here, "batchd.job.duration.")
    assert found["batchd.job.duration.type.command"].figures()["sum"] == 30
    assert found["batchd.job.duration.type.render"].count == 1
    assert found["batchd.job.duration.type.farmed"].count == 0
    assert found["batchd.job.duration.host.localhost"].count == 3


def test_living_attempts_are_jobs_on_their_hosts_whichever_dispatcher_has_them(here: Installation) -> None:
    here.dispatcher()
    here.attempt(here.enqueue(), dispatcher="another")
    here.attempt(here.enqueue(), host_name="farm")
    here.attempt(here.enqueue(), host_name="farm")
    here.attempt(here.enqueue(), host_name="farm", state="ended")
    found = figures(here, "batchd.host")
    assert (found["batchd.host.localhost.jobs"], found["batchd.host.farm.jobs"]) == (1, 2)
    assert (found["batchd.hosts.busy"], found["batchd.hosts.active"]) == (2, 2)
    assert found["batchd.host.farm.status"] == "busy"


def test_a_host_that_is_said_to_be_on_is_active_without_a_job(here: Installation) -> None:
    made = Metrics(here.ground, MetricOptions(), HttpCounts(), lambda _connection: {"lab": "on"})
    found = {one.name: one.figure for one in made.current("batchd.host")}
    assert (found["batchd.hosts.active"], found["batchd.hosts.busy"]) == (1, 0)
    assert found["batchd.host.lab.status"] == "on"


def test_a_prefix_need_not_end_at_a_dot(here: Installation) -> None:
    assert len(figures(here, "batchd.wai.response_status_")) == 5
    assert figures(here, "nothing") == {}


def test_memory_and_requests_can_be_left_out(here: Installation) -> None:
    names = {one.name for one in metrics(here, with_memory=False, with_http=False).current()}
    assert not [name for name in names if name.startswith(("rts.", "batchd.wai."))]
    assert figures(here)["rts.gc.current_bytes_used"] > 1_000_000


def test_the_statements_are_few_however_many_queues_there_are(here: Installation) -> None:
    for number in range(20):
        here.queue(f"q{number}")
    with statements(here) as seen:
        metrics(here).current()
    assert len([one for one in seen if one.startswith("SELECT")]) <= 6
