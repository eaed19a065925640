"""Kinds of metrics, their records and their tree."""

import statistics
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from batchd_api.metric_records import Distribution, counter, distribution, gauge, label, tree_of

TIME = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIELDS = {
    *("name", "time", "daemon", "kind", "value", "text"),
    *("mean", "variance", "count", "sum", "min", "max"),
}


def of(values: list[float]) -> Distribution:
    made = Distribution()
    for value in values:
        made = made.plus(value)
    return made


@given(st.lists(st.floats(0, 1e6), min_size=1), st.lists(st.floats(0, 1e6)))
def test_a_distribution_says_what_its_values_say_however_they_were_brought_together(
    first: list[float], second: list[float]
) -> None:
    figures = of(first).merged(of(second)).figures()
    values = first + second
    tolerance = 1e-6 * max(1.0, *values) ** 2
    assert (figures["count"], figures["min"], figures["max"]) == (len(values), min(values), max(values))
    assert abs(figures["mean"] - statistics.fmean(values)) <= tolerance
    assert abs(figures["variance"] - statistics.pvariance(values)) <= tolerance
    assert abs(figures["sum"] - sum(values)) <= tolerance * len(values)


def test_a_record_has_the_fields_of_its_kind_and_null_for_the_rest() -> None:
    figures = {"mean": 2.0, "variance": 1.0, "count": 2, "sum": 4.0, "min": 1.0, "max": 3.0}
    for metric, given_fields in (
        (counter("a", 3), {"value": 3}),
        (gauge("a", 0), {"value": 0}),
        (label("a", "up"), {"text": "up"}),
        (distribution("a", of([1.0, 3.0])), figures),
    ):
        record = metric.record(TIME, "Both")
        assert record.keys() == FIELDS
        shown = {"name": "a", "time": "2026-11-24T12:00:00.000000Z", "daemon": "Both", "kind": metric.kind}
        assert {k: v for k, v in record.items() if v is not None} == shown | given_fields


def test_a_tree_goes_by_the_dots() -> None:
    tree = tree_of([gauge("batchd.jobs.New", 2), label("batchd.host.a.status", "on")])
    assert tree == {
        "batchd": {
            "jobs": {"New": {"type": "g", "val": 2}},
            "host": {"a": {"status": {"type": "l", "val": "on"}}},
        }
    }


def test_a_metric_whose_name_others_go_on_from_has_its_figures_beside_their_branches() -> None:
    duration = "batchd.job.duration"
    tree = tree_of(
        [
            distribution(f"{duration}.type.render", of([2.0])),
            distribution(duration, of([2.0])),
            distribution(f"{duration}.host.localhost", of([2.0])),
        ]
    )["batchd"]["job"]["duration"]
    assert (tree["count"], tree["mean"]) == (1, 2.0)
    assert tree["type"]["render"]["count"] == tree["host"]["localhost"]["count"] == 1


@given(st.lists(st.text("ab.", max_size=5), unique=True))
def test_no_names_break_the_tree(names: list[str]) -> None:
    tree_of(gauge(name, 1) for name in names)
