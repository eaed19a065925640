"""Metrics as old clients know them: four kinds, a flat name with dots, a record or a tree.

The kinds and the names of the daemons are closed lists there: one new word would fail their whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from batchd_api.times import format_time


class Kind(StrEnum):
    COUNTER = "c"
    GAUGE = "g"
    LABEL = "l"
    DISTRIBUTION = "d"


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What is kept of many values. `squares`: the sum of their squared distances from the mean."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    min: float = 0.0
    max: float = 0.0

    def plus(self, value: float) -> Distribution:
        return self.merged(Distribution(count=1, mean=value, min=value, max=value))

    def merged(self, other: Distribution) -> Distribution:
        """Of both together: sums of squares of the values themselves would lose their digits."""
        if not (self.count and other.count):
            return self if self.count else other
        count, apart = self.count + other.count, other.mean - self.mean
        return Distribution(
            count=count,
            mean=self.mean + apart * other.count / count,
            squares=self.squares + other.squares + apart * apart * self.count * other.count / count,
            min=min(self.min, other.min),
            max=max(self.max, other.max),
        )

    def figures(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "variance": self.squares / self.count if self.count else 0.0,
            "count": self.count,
            "sum": self.mean * self.count,
            "min": self.min,
            "max": self.max,
        }


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`figure` is a whole number (counter, gauge), a text (label) or a Distribution."""

    name: str
    kind: Kind
    figure: int | str | Distribution

    def leaf(self) -> dict[str, Any]:
        if isinstance(self.figure, Distribution):
            return {"type": self.kind.value, **self.figure.figures()}
        return {"type": self.kind.value, "val": self.figure}

    def record(self, time: datetime, daemon: str) -> dict[str, Any]:
        figure = self.figure
        fields: dict[str, Any] = {"name": self.name, "time": format_time(time), "daemon": daemon}
        fields |= {"kind": self.kind.value, "value": None, "text": None}
        fields |= dict.fromkeys(("mean", "variance", "count", "sum", "min", "max"))
        if isinstance(figure, Distribution):
            return fields | figure.figures()
        return fields | {"text" if isinstance(figure, str) else "value": figure}


def counter(name: str, value: int) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, figure=value)


def gauge(name: str, value: int) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, figure=value)


def label(name: str, text: str) -> Metric:
    return Metric(name=name, kind=Kind.LABEL, figure=text)


def distribution(name: str, figure: Distribution) -> Metric:
    return Metric(name=name, kind=Kind.DISTRIBUTION, figure=figure)


def tree_of(metrics: Iterable[Metric]) -> dict[str, Any]:
    """By the dots of the names. A metric whose name others go on from has its figures beside their branches,
    and where a branch is called like one of the figures (`type`), the branch counts.
    """
    root: dict[str, Any] = {}
    for metric in sorted(metrics, key=lambda one: one.name):
        node = root
        for part in metric.name.split("."):
            child = node.get(part)
            if not isinstance(child, dict):
                child = node[part] = {}
            node = child
        for key, value in metric.leaf().items():
            if not isinstance(node.get(key), dict):
                node[key] = value
    return root
