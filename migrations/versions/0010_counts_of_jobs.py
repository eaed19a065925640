"""Counts of jobs by queue and status, kept by triggers.

A migration that makes the table `jobs` anew (SQLite's batch mode) has to make its triggers anew too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ADD = (
    "INSERT INTO job_counts (queue_name, status, shard, n) VALUES (NEW.queue_name, NEW.status, {shard}, 1) "
    "ON CONFLICT (queue_name, status, shard) DO UPDATE SET n = job_counts.n + 1;"
)
TAKE = (
    "INSERT INTO job_counts (queue_name, status, shard, n) VALUES (OLD.queue_name, OLD.status, {shard}, -1) "
    "ON CONFLICT (queue_name, status, shard) DO UPDATE SET n = job_counts.n - 1;"
)
SQLITE = (
    f"CREATE TRIGGER jobs_counted_insert AFTER INSERT ON jobs BEGIN {ADD} END",
    "CREATE TRIGGER jobs_counted_update AFTER UPDATE OF status, queue_name ON jobs "
    f"WHEN OLD.status IS NOT NEW.status OR OLD.queue_name IS NOT NEW.queue_name BEGIN {TAKE} {ADD} END",
    f"CREATE TRIGGER jobs_counted_delete AFTER DELETE ON jobs BEGIN {TAKE} END",
)
POSTGRESQL = (
    "CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF TG_OP <> 'INSERT' THEN {TAKE} END IF; "
    f"IF TG_OP <> 'DELETE' THEN {ADD} END IF; "
    "RETURN NULL; END $$",
    "CREATE TRIGGER jobs_counted_insert AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION count_jobs()",
    "CREATE TRIGGER jobs_counted_update AFTER UPDATE OF status, queue_name ON jobs FOR EACH ROW WHEN "
    "(OLD.status IS DISTINCT FROM NEW.status OR OLD.queue_name IS DISTINCT FROM NEW.queue_name) "
    "EXECUTE FUNCTION count_jobs()",
    "CREATE TRIGGER jobs_counted_delete AFTER DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION count_jobs()",
)


def upgrade() -> None:
    op.create_table(
        "job_counts",
        sa.Column("queue_name", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.PrimaryKeyConstraint("queue_name", "status", "shard", name=op.f("pk_job_counts")),
    )
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    # The triggers first: on PostgreSQL nobody else writes jobs from then on, so nothing is missed.
    for statement in SQLITE if is_sqlite else POSTGRESQL:
        connection.exec_driver_sql(statement.format(shard="0" if is_sqlite else "pg_backend_pid()"))
    op.execute(
        "INSERT INTO job_counts (queue_name, status, shard, n) "
        "SELECT queue_name, status, 0, count(*) FROM jobs GROUP BY queue_name, status"
    )
