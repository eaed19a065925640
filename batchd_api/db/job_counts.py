"""How many jobs each queue has in each status: kept by the database itself, exact in every transaction.

On PostgreSQL each connection counts in rows of its own, so that no transaction waits for another one's; a
queue's number is their sum. SQLite has one writer, and one row.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Table,
    cast,
    delete,
    event,
    func,
    select,
    text,
)

from batchd_api.db.tables import BIG, NAME, metadata

job_counts = Table(
    "job_counts",
    metadata,
    Column("queue_name", NAME, primary_key=True),
    Column("status", String(16), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),  # PostgreSQL: who counted; 0: nobody now
    Column("n", BIG, nullable=False),  # may be negative: what one connection adds another one takes away
)

_COUNTING = (
    "INSERT INTO job_counts (queue_name, status, shard, n) VALUES "
    "({row}.queue_name, {row}.status, {shard}, {by}) "
    "ON CONFLICT (queue_name, status, shard) DO UPDATE SET n = job_counts.n {sign} 1;"
)
_MOVED = "OLD.status {differs} NEW.status OR OLD.queue_name {differs} NEW.queue_name"


def _counting(row: str, sign: str, shard: str) -> str:
    return _COUNTING.format(row=row, shard=shard, sign=sign, by="1" if sign == "+" else "-1")


def _sqlite_statements() -> list[str]:
    add, take = _counting("NEW", "+", "0"), _counting("OLD", "-", "0")
    moved = _MOVED.format(differs="IS NOT")
    return [
        f"CREATE TRIGGER jobs_counted_insert AFTER INSERT ON jobs BEGIN {add} END",
        "CREATE TRIGGER jobs_counted_update AFTER UPDATE OF status, queue_name ON jobs "
        f"WHEN {moved} BEGIN {take} {add} END",
        f"CREATE TRIGGER jobs_counted_delete AFTER DELETE ON jobs BEGIN {take} END",
    ]


def _postgresql_statements() -> list[str]:
    add, take = (_counting(row, sign, "pg_backend_pid()") for row, sign in (("NEW", "+"), ("OLD", "-")))
    moved = _MOVED.format(differs="IS DISTINCT FROM")
    each = "FOR EACH ROW EXECUTE FUNCTION count_jobs()"
    return [
        "CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP <> 'INSERT' THEN {take} END IF; "
        f"IF TG_OP <> 'DELETE' THEN {add} END IF; "
        "RETURN NULL; END $$",
        f"CREATE TRIGGER jobs_counted_insert AFTER INSERT ON jobs {each}",
        "CREATE TRIGGER jobs_counted_update AFTER UPDATE OF status, queue_name ON jobs "
        f"FOR EACH ROW WHEN ({moved}) EXECUTE FUNCTION count_jobs()",
        f"CREATE TRIGGER jobs_counted_delete AFTER DELETE ON jobs {each}",
    ]


for _dialect, _statements in (("sqlite", _sqlite_statements()), ("postgresql", _postgresql_statements())):
    for _statement in _statements:
        event.listen(metadata, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]


def numbers(*where: ColumnElement[bool]) -> Select[tuple[str, str, int]]:
    """Queue, status, how many; none that is zero. `where` is about `job_counts`."""
    total = func.sum(job_counts.c.n)
    key = (job_counts.c.queue_name, job_counts.c.status)
    query = select(*key, cast(total, BIG)).where(*where).group_by(*key)
    return query.having(total != 0).order_by(*key)


def number_of(queue_name: ColumnElement[str] | str, status: str) -> ColumnElement[int]:
    """As a part of a statement: how many jobs of that queue are in that status."""
    mine = (job_counts.c.queue_name == queue_name, job_counts.c.status == status)
    return select(cast(func.coalesce(func.sum(job_counts.c.n), 0), BIG)).where(*mine).scalar_subquery()


_GATHER = text(
    "WITH gone AS (DELETE FROM job_counts WHERE shard <> 0 AND shard NOT IN "
    "(SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL) RETURNING queue_name, status, n) "
    "INSERT INTO job_counts (queue_name, status, shard, n) "
    "SELECT queue_name, status, 0, sum(n) FROM gone GROUP BY queue_name, status "
    "ON CONFLICT (queue_name, status, shard) DO UPDATE SET n = job_counts.n + excluded.n"
)
_GATHER_LOCK = 0x636F756E7473  # "counts": a number that nothing else uses


def gather(connection: Connection) -> None:
    """Add up what connections that are gone have counted, and forget the zeros. In a transaction that writes.

    Exact also where such a number is given to a new connection meanwhile: it waits for the row, or we do.
    """
    if connection.dialect.name == "postgresql":
        if not connection.execute(select(func.pg_try_advisory_xact_lock(_GATHER_LOCK))).scalar_one():
            return
        connection.execute(_GATHER)
    connection.execute(delete(job_counts).where(job_counts.c.shard == 0, job_counts.c.n == 0))
