"""A figure says what was measured, and holds it against its target."""

from __future__ import annotations

import pytest

from bench.figures import Figure, at_least, at_most, below, page, percentile


def test_more_is_better_where_at_least_so_much_is_wanted() -> None:
    figure = at_least("jobs", 30.0, 10.0, 3.0, unit="jobs/s", name="stock")
    assert (figure.ours, figure.against, figure.ratio) == ("30 jobs/s", "stock: 10 jobs/s", "3 ×")
    assert (figure.target, figure.met) == ("≥ 3 ×", True)
    assert at_least("jobs", 29.0, 10.0, 3.0, unit="jobs/s", name="stock").met is False


def test_less_is_better_where_at_most_so_much_is_wanted() -> None:
    figure = at_most("start", 15.0, 10.0, 1.5, unit="s", name="stock")
    assert (figure.ratio, figure.target, figure.met) == ("1.5 ×", "≤ 1.5 ×", True)
    assert at_most("start", 16.0, 10.0, 1.5, unit="s", name="stock").met is False


def test_a_bound_of_its_own_needs_nothing_beside_it() -> None:
    assert below("p95", 0.9, 1, unit="s") == Figure(what="p95", ours="0.9 s", target="≤ 1 s", met=True)
    assert below("p95", 1.1, 1, unit="s").met is False


@pytest.mark.parametrize(("part", "value"), [(1, 1.0), (50, 50.5), (95, 95.05), (99, 99.01)])
def test_a_percentile_lies_between_the_two_values_beside_it(part: int, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], part) == pytest.approx(value, abs=1)


def test_a_percentile_sees_the_slow_ones_and_a_median_does_not() -> None:
    values = [0.1] * 90 + [5.0] * 10
    assert percentile(values, 50) == pytest.approx(0.1)
    assert percentile(values, 95) == pytest.approx(5.0)


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([3.0], 95) == 3.0


def test_the_page_has_a_row_a_figure_and_says_which_target_is_missed() -> None:
    figures = [
        at_least("fast", 4.0, 1.0, 2.0, unit="x/s", name="stock"),
        below("slow", 2.0, 1.0, unit="s"),
        Figure(what="just so", ours="5"),
    ]
    rows = [line for line in page(figures, "make bench").splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| fast | 4 x/s | stock: 1 x/s | 4 × | ≥ 2 × | yes |",
        "| slow | 2 s |  |  | ≤ 1 s | **no** |",
        "| just so | 5 |  |  |  |  |",
    ]


def test_the_page_says_machine_versions_and_command() -> None:
    text = page([below("a", 1.0, 2.0, unit="s")], "make bench")
    assert "cores" in text
    assert "GiB" in text
    assert "Python 3." in text
    assert "prefect 3." in text
    assert "The command: `make bench`." in text


def test_what_holds_back_is_said_of_a_missed_target_and_of_no_other() -> None:
    holds = {"slow": "It waits.", "fast": "It hurries."}
    missed = page([below("slow thing", 2.0, 1.0, unit="s"), below("fast", 0.5, 1.0, unit="s")], "make", holds)
    assert "- slow thing: It waits." in missed
    assert "It hurries." not in missed
    assert "What holds back" not in page([below("slow", 0.5, 1.0, unit="s")], "make", holds)
