"""Stored metrics: kept, found, thinned, gone; on each kind of database."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from batchd_api.db.tables import metric_dumps, metric_shapes
from batchd_api.errors import MetricNotFound
from batchd_api.http_counts import HttpCounts
from batchd_api.metric_keeping import MetricKeeper
from batchd_api.metric_records import Distribution, Metric, distribution, gauge, label
from batchd_api.retention import DUMPS_AT_ONCE, MetricRetention
from batchd_api.services import metric_history
from batchd_api.services.metric_history import Dump, MetricHistory, Period
from batchd_api.services.metrics import MetricOptions, Metrics
from tests.ground import NOW, Installation, installation

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
TIMES = Distribution(count=2, mean=1.5, squares=0.5, min=1.0, max=2.0)


def store(history: MetricHistory, at: datetime, *metrics: Metric) -> None:
    history.store(Dump(time=at, daemon="Both", metrics=metrics or (gauge("batchd.jobs.New", 1),)))


def last_seconds(seconds: float) -> Period:
    return Period(begin=NOW - timedelta(seconds=seconds), end=NOW)


def sweep(here: Installation, days: float, now: datetime = NOW) -> None:
    retention = MetricRetention(here.database, days)
    while retention.sweep(now):
        pass


def test_what_was_stored_comes_back_by_time_and_name(everywhere: Installation) -> None:
    history = MetricHistory(everywhere.database)
    metrics = (gauge("a.x", 5), label("a.y", "zü"), distribution("b", TIMES))
    for seconds in (20, 10, 0):
        store(history, NOW - seconds * SECOND, *metrics)
    found = MetricHistory(everywhere.database).records("a", last_seconds(15))
    assert [(one["time"], one["name"]) for one in found] == [
        (f"2026-11-24T{clock}.000000Z", name) for clock in ("11:59:50", "12:00:00") for name in ("a.x", "a.y")
    ]
    assert (found[0]["value"], found[1]["text"]) == (5, "zü")
    (of_times,) = history.records("b", last_seconds(0))
    assert (of_times["count"], of_times["mean"], of_times["variance"]) == (2, 1.5, 0.25)


def test_the_last_record_of_a_metric_is_a_tree_and_an_unknown_one_is_told(everywhere: Installation) -> None:
    history = MetricHistory(everywhere.database)
    store(history, NOW - SECOND, gauge("gone.x", 7))
    store(history, NOW, gauge("a.x", 5), gauge("a.xy", 6))
    assert history.last("a.x") == {"a": {"x": {"type": "g", "val": 5}}}
    assert history.last("gone.x") == {"gone": {"x": {"type": "g", "val": 7}}}
    with pytest.raises(MetricNotFound, match='no stored metric "a"'):
        history.last("a")


def test_names_are_stored_once_for_many_dumps(here: Installation) -> None:
    history = MetricHistory(here.database)
    for seconds in range(5):
        store(history, NOW + seconds * SECOND)
    store(MetricHistory(here.database), NOW + 9 * SECOND)
    assert (here.count(metric_dumps), here.count(metric_shapes)) == (6, 1)


def test_jobs_over_time_by_queue_and_status(here: Installation) -> None:
    history = MetricHistory(here.database)
    store(history, NOW, gauge("batchd.queue.a.b.jobs.New", 4), gauge("batchd.queue.size", 1))
    assert history.job_counts(last_seconds(1)) == [
        {"time": "2026-11-24T12:00:00.000000Z", "queue": "a.b", "status": "New", "jobs": 4}
    ]


def test_a_long_time_is_answered_with_fewer_dumps_the_newest_among_them(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_history, "MAX_RECORDS", 4)
    history = MetricHistory(here.database)
    for seconds in range(10):
        store(history, NOW - seconds * SECOND, gauge("a", seconds))
    assert [one["value"] for one in history.records("a", last_seconds(100))] == [9, 6, 3, 0]


def test_of_each_time_asked_for_one_dump_is_enough(here: Installation) -> None:
    history = MetricHistory(here.database)
    for seconds in range(61):
        store(history, NOW - seconds * SECOND, gauge("a", seconds))
    period = Period(begin=NOW - 60 * SECOND, end=NOW, every=20 * SECOND)
    assert [one["value"] for one in history.records("a", period)] == [41, 21, 1, 0]


def test_records_go_after_their_days_and_names_with_the_last_of_them(everywhere: Installation) -> None:
    history = MetricHistory(everywhere.database)
    store(history, NOW - 4 * DAY, gauge("old", 1))
    store(history, NOW - 2 * DAY)
    sweep(everywhere, 3)
    assert (everywhere.count(metric_dumps), everywhere.count(metric_shapes)) == (1, 1)
    sweep(everywhere, 0)
    assert everywhere.count(metric_dumps) == 1


def test_more_than_one_step_of_old_records_goes(here: Installation) -> None:
    history = MetricHistory(here.database)
    for seconds in range(DUMPS_AT_ONCE + 5):
        store(history, NOW - 4 * DAY - seconds * SECOND)
    sweep(here, 3)
    assert here.count(metric_dumps) == 0


def test_within_three_days_every_record_is_kept_and_then_one_a_minute(here: Installation) -> None:
    history = MetricHistory(here.database)
    for number in range(60):
        store(history, NOW - 10 * number * SECOND)
        store(history, NOW - 4 * DAY - 10 * number * SECOND)
    sweep(here, 400)
    young = here.count(metric_dumps, metric_dumps.c.time > NOW - DAY)
    assert (young, here.count(metric_dumps)) == (60, 60 + 11)


def test_a_year_of_records_stays_small(tmp_path: Path) -> None:
    """Measured on what a year leaves behind: three days of dumps every 10 s are the most of it."""
    path = tmp_path / "batchd.db"
    with installation(f"sqlite:///{path}") as here:
        metrics = Metrics(here.ground, MetricOptions(), HttpCounts())
        history = MetricHistory(here.database)
        before = path.stat().st_size
        current = tuple(metrics.current())
        for number in range(300):
            history.store(Dump(time=NOW + 10 * number * SECOND, daemon="Both", metrics=current))
        with here.database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        a_dump = (path.stat().st_size - before) / 300
    dumps_in_a_year = 3 * 8640 + 27 * 1440 + 335 * 144
    assert a_dump * dumps_in_a_year < 120_000_000


def test_the_keeper_stores_what_its_prefix_says(here: Installation) -> None:
    history = MetricHistory(here.database)
    keeper = MetricKeeper(
        metrics=Metrics(here.ground, MetricOptions(daemon="Manager"), HttpCounts()),
        history=history,
        retention=MetricRetention(here.database, 3),
        dump_seconds=10,
        prefix="batchd.jobs.",
    )
    keeper.dump()
    found = history.records("", last_seconds(1))
    assert {one["name"].rpartition(".")[0] for one in found} == {"batchd.jobs"}
    assert {(one["time"], one["daemon"]) for one in found} == {("2026-11-24T12:00:00.000000Z", "Manager")}
