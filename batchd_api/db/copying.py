"""Everything of one database into another of the same shape, SQLite or PostgreSQL. Blocking.

Read in one snapshot, written in one transaction: the copy is whole or not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import BigInteger, Connection, Table, delete, func, insert, select, text

from batchd_api.db.host_tables import hosts
from batchd_api.db.job_counts import job_counts
from batchd_api.db.session import Database

# Of all, what others refer to first; but what the database counts itself, it counts anew as rows come.
TABLES = [table for table in hosts.metadata.sorted_tables if table is not job_counts]
ROWS_AT_ONCE = 100  # of output, up to 64 KiB each


def copy_rows(source: Database, target: Database) -> dict[str, int]:
    """Replace all rows of `target`. Table → rows, as they stand there."""
    with source.read() as reading, target.write() as writing:
        for table in reversed(TABLES):
            writing.execute(delete(table))
        for table in TABLES:
            for rows in _pieces(reading, table):
                writing.execute(insert(table), rows)
            _copy_last_id(reading, writing, table)
        return count_rows(writing)


def count_rows(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in TABLES
    }


def _pieces(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    query = select(table).order_by(*table.primary_key.columns)
    found = connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
    for rows in found.mappings().partitions():
        yield [dict(row) for row in rows]


def _copy_last_id(reading: Connection, writing: Connection, table: Table) -> None:
    """A number that was given once is never given again, though its row has gone."""
    column = next((c for c in table.primary_key.columns if c.name == "id"), None)
    if column is None or not isinstance(column.type, BigInteger):
        return
    last = _last_id(reading, table)
    if not last:
        return
    if writing.dialect.name == "sqlite":
        known = {"name": table.name, "last": last}
        writing.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), known)
        writing.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), known)
    else:
        writing.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), last)))


def _last_id(connection: Connection, table: Table) -> int:
    newest = connection.execute(select(func.max(table.c.id))).scalar() or 0
    if connection.dialect.name != "sqlite":
        sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, "id"))).scalar_one()
        given = connection.execute(
            text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608  ours
        ).scalar_one()
    elif table.dialect_options["sqlite"]["autoincrement"]:
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        given = connection.execute(query, {"name": table.name}).scalar() or 0
    else:
        given = 0
    return max(int(newest), int(given))


def counted(counts: Mapping[str, int]) -> str:
    """In words: what people know of it."""
    shown = ("users", "queues", "schedules", "jobs", "attempts", "output")
    named = {"attempts": "executions", "output": "pieces of output"}
    return ", ".join(f"{counts.get(name, 0)} {named.get(name, name)}" for name in shown)
