"""How long runs took: a row for each type on each host, written when a run ends.

So the figures outlive the jobs, their daemon and its restarts, and reading them costs a few rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, case, func, select
from sqlalchemy.dialects import postgresql, sqlite

from batchd_api.db.tables import run_times
from batchd_api.metric_records import Distribution

LOCALHOST = "localhost"  # the dispatcher's own machine has no name among the hosts
LATEST_PART = 0.3  # how much the latest run counts in what is usual


def note_run_time(
    connection: Connection, type_name: str, host_name: str | None, seconds: float, *, succeeded: bool
) -> None:
    """Add one run, in one statement: whoever else adds one meanwhile waits for it."""
    seconds = max(0.0, seconds)
    usual = seconds if succeeded else None
    row: dict[str, Any] = {"type_name": type_name, "host_name": host_name or LOCALHOST, "count": 1}
    row |= {"mean": seconds, "squares": 0.0, "min": seconds, "max": seconds, "usual": usual}
    old = run_times.c
    mean = old.mean + (seconds - old.mean) / (old["count"] + 1)
    changed: dict[str, Any] = {
        "count": old["count"] + 1,
        "mean": mean,
        "squares": old.squares + (seconds - old.mean) * (seconds - mean),
        "min": case((old.min > seconds, seconds), else_=old.min),
        "max": case((old.max < seconds, seconds), else_=old.max),
    }
    if succeeded:
        changed["usual"] = func.coalesce(old.usual + (seconds - old.usual) * LATEST_PART, seconds)
    made = upsert(connection, run_times).values(row)
    connection.execute(
        made.on_conflict_do_update(index_elements=[old.type_name, old.host_name], set_=changed)
    )


def upsert(connection: Connection, table: Any) -> Any:
    """An INSERT that can say what happens when the row is there; each of the two dialects has its own."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def run_time_distributions(connection: Connection) -> dict[tuple[str, str], Distribution]:
    """Type and host → its runs."""
    return {
        (row["type_name"], row["host_name"]): Distribution(
            count=row["count"], mean=row["mean"], squares=row["squares"], min=row["min"], max=row["max"]
        )
        for row in connection.execute(select(run_times)).mappings()
    }


def usual_seconds(connection: Connection) -> Mapping[tuple[str, str], float]:
    """Type and host → how long a run usually takes, where one has succeeded."""
    query = select(run_times.c.type_name, run_times.c.host_name, run_times.c.usual)
    rows = connection.execute(query.where(run_times.c.usual.is_not(None)))
    return {(row.type_name, row.host_name): row.usual for row in rows}
