"""Stored metrics: a row a dump with its figures alone, compressed; the names stand once for many dumps."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from batchd_api.db.session import Database
from batchd_api.db.tables import metric_dumps, metric_shapes
from batchd_api.errors import MetricNotFound
from batchd_api.metric_records import Distribution, Kind, Metric, tree_of
from batchd_api.statuses import JobStatus
from batchd_api.times import format_time

# An answer holds no more records than this (about 20 MB): of a longer time it has every second, third … dump.
MAX_RECORDS = 100_000
DUMPS_AT_ONCE = 500

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # slots of `every` have fixed places, so that charts do not tremble

Shape = tuple[tuple[str, Kind], ...]


@dataclass(frozen=True, kw_only=True)
class Period:
    """`every`: of so long a time one dump is enough; None: all that are stored."""

    begin: datetime
    end: datetime
    every: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Dump:
    time: datetime
    daemon: str
    metrics: tuple[Metric, ...]


class MetricHistory:
    """Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shapes: dict[int, Shape] = {}

    def store(self, dump: Dump) -> None:
        """All metrics of one moment, as one row."""
        shape = tuple((one.name, one.kind) for one in dump.metrics)
        names = json.dumps(shape, ensure_ascii=False)
        row = {"time": dump.time, "daemon": dump.daemon, "figures": _packed(dump.metrics)}
        with self._database.write() as connection:
            row["shape_id"] = _shape_id(connection, hashlib.sha256(names.encode()).hexdigest(), shape)
            connection.execute(insert(metric_dumps).values(row))

    def last(self, name: str) -> dict[str, Any]:
        """The newest stored record of one metric, as a tree."""
        with self._database.read() as connection:
            shape_ids = connection.execute(select(metric_shapes.c.id)).scalars().all()
            with_it = [n for n in shape_ids if any(one == name for one, _ in self._shape(connection, n))]
            query = select(metric_dumps).where(metric_dumps.c.shape_id.in_(with_it))
            newest = query.order_by(metric_dumps.c.time.desc(), metric_dumps.c.id.desc()).limit(1)
            row = connection.execute(newest).mappings().first()
            if row is None:
                raise MetricNotFound(name)
            return tree_of(one for one in self._dump(connection, row).metrics if one.name == name)

    def records(self, prefix: str, period: Period) -> list[dict[str, Any]]:
        """Metric records by time and name."""
        return [
            one.record(dump.time, dump.daemon)
            for dump in self._dumps(prefix, period)
            for one in dump.metrics
            if one.name.startswith(prefix)
        ]

    def job_counts(self, period: Period) -> list[dict[str, Any]]:
        """How many jobs of each queue stood in which status."""
        return [
            {"time": format_time(dump.time), "queue": found[0], "status": found[1], "jobs": one.figure}
            for dump in self._dumps("batchd.queue.", period)
            for one in dump.metrics
            if (found := _queue_and_status(one.name))
        ]

    def _dumps(self, prefix: str, period: Period) -> Iterator[Dump]:
        with self._database.read() as connection:
            for ids in _parts(self._wanted(connection, prefix, period)):
                query = select(metric_dumps).where(metric_dumps.c.id.in_(ids))
                for row in connection.execute(
                    query.order_by(metric_dumps.c.time, metric_dumps.c.id)
                ).mappings():
                    yield self._dump(connection, row)

    def _wanted(self, connection: Connection, prefix: str, period: Period) -> list[int]:
        """The ids of the dumps that an answer shows, the newest always among them."""
        query = (
            select(metric_dumps.c.id, metric_dumps.c.time, metric_dumps.c.shape_id)
            .where(metric_dumps.c.time >= period.begin, metric_dumps.c.time <= period.end)
            .order_by(metric_dumps.c.time, metric_dumps.c.id)
        )
        rows = connection.execute(query).all()
        if not rows:
            return []
        if period.every is not None:
            rows = list({(row.time - _EPOCH) // period.every: row for row in rows}.values())
        named = sum(name.startswith(prefix) for name, _ in self._shape(connection, rows[-1].shape_id))
        step = -(-len(rows) * named // MAX_RECORDS) or 1
        return [row.id for row in rows[::-1][::step][::-1]]

    def _dump(self, connection: Connection, row: RowMapping) -> Dump:
        shape = self._shape(connection, row["shape_id"])
        return Dump(time=row["time"], daemon=row["daemon"], metrics=_unpacked(shape, row["figures"]))

    def _shape(self, connection: Connection, shape_id: int) -> Shape:
        if shape_id not in self._shapes:
            query = select(metric_shapes.c.names).where(metric_shapes.c.id == shape_id)
            names = connection.execute(query).scalar_one()
            self._shapes[shape_id] = tuple((name, Kind(kind)) for name, kind in names)
        return self._shapes[shape_id]


def _shape_id(connection: Connection, digest: str, shape: Shape) -> int:
    query = select(metric_shapes.c.id).where(metric_shapes.c.digest == digest)
    found = connection.execute(query).scalar()
    if found is not None:
        return int(found)
    made = connection.execute(insert(metric_shapes).values(digest=digest, names=[list(one) for one in shape]))
    return int(made.inserted_primary_key[0]) if made.inserted_primary_key else 0


def _packed(metrics: Sequence[Metric]) -> bytes:
    figures = [astuple(one.figure) if isinstance(one.figure, Distribution) else one.figure for one in metrics]
    return zlib.compress(json.dumps(figures, ensure_ascii=False, separators=(",", ":")).encode(), 9)


def _unpacked(shape: Shape, data: bytes) -> tuple[Metric, ...]:
    figures = json.loads(zlib.decompress(data))
    return tuple(
        Metric(name=name, kind=kind, figure=_figure(figure))
        for (name, kind), figure in zip(shape, figures, strict=True)
    )


def _figure(stored: Any) -> int | str | Distribution:
    if not isinstance(stored, list):
        figure: int | str = stored
        return figure
    count, mean, squares, least, most = stored
    return Distribution(count=count, mean=mean, squares=squares, min=least, max=most)


def _queue_and_status(name: str) -> tuple[str, str] | None:
    """A queue's name may have dots itself."""
    if not name.startswith("batchd.queue."):
        return None
    queue, _, status = name.removeprefix("batchd.queue.").rpartition(".jobs.")
    return (queue, status) if queue and status in set(JobStatus) else None


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + DUMPS_AT_ONCE] for start in range(0, len(ids), DUMPS_AT_ONCE))
