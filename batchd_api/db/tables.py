"""The tables: the record of what people asked for and what came of it.

Rows that outlive their job (`attempts` whose tree is still being ended, `flow_runs` still to be removed from
Prefect) carry a plain `job_id`, no foreign key: deleting a job answers at once and the rest ends behind it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    literal_column,
    text,
)

NAME = String(64)
BIG_ID = BigInteger().with_variant(Integer, "sqlite")
BIG = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, kept in UTC: `timestamptz` on PostgreSQL, ISO text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone reached the database: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

installation = Table(
    "installation",
    metadata,
    # One row. The id goes into idempotency keys, so that a fresh database beside an old Prefect home does
    # not get that home's dead runs back for its own new job numbers.
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

permissions = Table(
    "permissions",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("user_name", NAME, ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("permission", String(32), nullable=False),
    Column("queue_name", NAME),  # null = any
    Column("type_name", Text),
    Column("host_name", Text),  # `__default__` = the queue's own host
    sqlite_autoincrement=True,
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("weekdays", JSON(none_as_null=True)),  # list of English day names; null = every day
    Column(
        "time", JSON(none_as_null=True)
    ),  # list of {"begin": "HH:MM:SS", "end": "HH:MM:SS"}; null = all day
)

queues = Table(
    "queues",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("title", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("schedule_name", NAME, ForeignKey("schedules.name"), nullable=False),
    Column("host_name", Text),
    Column("autostart_job_count", Integer),
    Column("max_jobs", Integer),
    Column("notify", JSON(none_as_null=True)),  # list of {"event", "target"}; null = nobody is told
    Column("run_as", NAME),  # the user of its jobs on this machine; null = the dispatcher's
    Column("work_pool", Text),  # of another type, whose workers run its jobs; null = the dispatchers do
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("queue_name", NAME, ForeignKey("queues.name"), nullable=False),
    Column("seq", BIG, nullable=False),  # order within the queue
    Column("type_name", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("start_time", UtcDateTime),
    Column("end_time", UtcDateTime),  # when it became Done or Failed; retention counts from here
    Column("status", String(16), nullable=False),
    Column("try_count", Integer, nullable=False, server_default="0"),
    Column("host_name", Text),
    Column("notes", Text),
    Column("params", JSON, nullable=False),  # string → string, as given
    Column("working_directory", Text),  # null = the type's
    Column("notify", JSON(none_as_null=True)),  # as of a queue, for this job besides
    # Of this job alone; null = what its type says, else its host, else the configuration. 0 = no limit.
    Column("timeout_seconds", Float),
    Column("silence_seconds", Float),
    Column("kill_after_seconds", Float),
    Column("output_limit_bytes", BIG),  # of each stream
    Column("attempt", Integer, nullable=False, server_default="0"),  # number of the latest, 0 = none yet
    Column("reason_code", String(32)),  # why it waits or why it failed
    Column("reason_text", Text),
    Column("reason_until", UtcDateTime),
    # The mirror's books: `version` grows with every change, `mirrored` is the one Prefect shows.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("mirrored", Integer, nullable=False, server_default="0"),
    Index(None, "queue_name", "status", "seq"),
    Index(None, "status", "id"),
    Index(None, "queue_name", "seq"),  # pages of a whole queue
    sqlite_autoincrement=True,
)
Index("ix_jobs_ended", jobs.c.end_time, jobs.c.id, sqlite_where=jobs.c.end_time.is_not(None),
      postgresql_where=jobs.c.end_time.is_not(None))  # fmt: skip
Index("ix_jobs_unmirrored", jobs.c.status, jobs.c.id, sqlite_where=jobs.c.version != jobs.c.mirrored,
      postgresql_where=jobs.c.version != jobs.c.mirrored)  # fmt: skip

attempts = Table(
    "attempts",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("job_id", BIG, nullable=False),
    Column("number", Integer, nullable=False),  # 1, 2, … within the job
    Column("token", String(64), nullable=False),  # whoever reports for the attempt shows it
    Column("queue_name", NAME, nullable=False),  # holds this queue's slot until the tree is gone
    Column("host_name", Text),  # null = the dispatcher's own machine
    Column("dispatcher", Text, nullable=False),
    Column("state", String(16), nullable=False),  # taken, running, ended
    Column("taken_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("exit_code", Integer),  # null with state ended: no exit code is known
    Column("reason", Text),  # in words, where the exit code does not say it
    Column("stdout_bytes", BIG, nullable=False, server_default="0"),  # recorded so far; reading goes on here
    Column("stderr_bytes", BIG, nullable=False, server_default="0"),
    Column("output_cut", Boolean, nullable=False, server_default="0"),
    Column("cancel_requested_at", UtcDateTime),
    Column("cancelled_by", Text),
    # How far the run's Prefect log has come: the last `output.id` in it, and how many bytes in all.
    Column("logged_output_id", BIG, nullable=False, server_default="0"),
    Column("logged_bytes", BIG, nullable=False, server_default="0"),
    # How far the command says it is: per cent, the words it said so in, when it will be done at this rate.
    Column("progress_percent", Float),
    Column("progress_text", Text),
    Column("progress_at", UtcDateTime),
    Column("progress_eta", UtcDateTime),
    Column("long_noted", Boolean, nullable=False, server_default="0"),  # somebody was told that it runs long
    Column("work_pool", Text),  # whose worker runs it; null = its dispatcher does
    Column("order", JSON(none_as_null=True)),  # the command as that worker gets it
    UniqueConstraint("job_id", "number"),
    sqlite_autoincrement=True,
)
Index("ix_attempts_alive", attempts.c.dispatcher, sqlite_where=attempts.c.state != "ended",
      postgresql_where=attempts.c.state != "ended")  # fmt: skip
# With a bound value in its place, no database would use that index; nor the one of runs to be removed.
IS_ALIVE = attempts.c.state != literal_column("'ended'")

NOTE = "note"  # no stream of the command's: a sentence of ours about its output

output = Table(
    "output",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("job_id", BIG, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("stream", String(6), nullable=False),  # stdout, stderr, or NOTE
    Column("offset", BIG, nullable=False),  # of the first byte within the attempt's stream
    Column("time", UtcDateTime, nullable=False),
    Column("data", LargeBinary, nullable=False),  # at most 64 KiB, exactly as written
    Index(None, "job_id", "attempt", "id"),
    sqlite_autoincrement=True,
)

flow_runs = Table(
    "flow_runs",
    metadata,
    Column("id", String(36), primary_key=True),  # Prefect's id
    Column("job_id", BIG, nullable=False),
    Column("attempt", Integer, nullable=False),  # the attempt it shows; one ahead of the job's while it waits
    Column(
        "number", Integer, nullable=False
    ),  # N: which of this attempt's runs; moving or deleting makes N + 1
    Column("queue_name", NAME, nullable=False),  # whose pool it is in; it cannot change its pool
    Column("name", Text, nullable=False),
    # What the mirror wrote last: a waiting state's name (WaitingForWindow) or a state type (PENDING).
    Column("shown", String(48), nullable=False),
    Column("gone", Boolean, nullable=False, server_default="0"),  # to be removed in Prefect
    UniqueConstraint("job_id", "attempt", "number"),
)
Index("ix_flow_runs_gone", flow_runs.c.id, sqlite_where=text("gone"), postgresql_where=text("gone"))
IS_GONE: ColumnElement[bool] = literal_column("flow_runs.gone")
_LIVE = "shown NOT IN ('CANCELLED', 'COMPLETED', 'CRASHED', 'FAILED')"
Index("ix_flow_runs_live", flow_runs.c.id, sqlite_where=text(_LIVE), postgresql_where=text(_LIVE))
IS_LIVE: ColumnElement[bool] = literal_column(_LIVE)

pools = Table(
    "pools",
    metadata,
    # What the mirror wrote last into a queue's work pool: a setting that differs there is a person's.
    Column("queue_name", NAME, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("concurrency_limit", Integer),
)

dispatchers = Table(
    "dispatchers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("workers", Integer, nullable=False),  # 0: it does not reach Prefect, and takes no jobs
    Column("queues", JSON(none_as_null=True)),  # names it serves; null = all
    Column("seen_at", UtcDateTime, nullable=False),
    Column("draining", Boolean, nullable=False, server_default="0"),  # takes no new jobs
)

leases = Table(
    "leases",
    metadata,
    # Held by one dispatcher at a time, until a moment of the database's clock. `term` grows with each taking.
    Column("name", String(32), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", Integer, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    # What the mirror has written beside a flow run. It goes when the run's row has gone: Prefect keeps a
    # run's artifacts when the run is deleted.
    Column("id", String(36), primary_key=True),  # Prefect's id
    Column("flow_run_id", String(36), nullable=False),
    Column("kind", String(8), nullable=False),  # progress, result
    Column("shown_percent", Float),
    Column("shown_at", UtcDateTime, nullable=False),
    UniqueConstraint("flow_run_id", "kind"),
)

metric_shapes = Table(
    "metric_shapes",
    metadata,
    # The names and kinds that many dumps share: a dump itself holds figures alone.
    Column("id", BIG_ID, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("names", JSON, nullable=False),  # list of [name, kind]
)

metric_dumps = Table(
    "metric_dumps",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("time", UtcDateTime, nullable=False, index=True),
    Column("daemon", String(10), nullable=False),
    Column("shape_id", BIG, ForeignKey("metric_shapes.id"), nullable=False, index=True),
    Column("figures", LargeBinary, nullable=False),  # compressed JSON, in the order of the shape's names
)

run_times = Table(
    "run_times",
    metadata,
    # How long the runs of a type on a host took, ever: what the retention of jobs does not take away.
    Column("type_name", Text, primary_key=True),
    Column("host_name", Text, primary_key=True),  # `localhost` for the dispatcher's own machine
    Column("count", BIG, nullable=False),
    Column("mean", Float, nullable=False),  # seconds, as all of these
    Column("squares", Float, nullable=False),  # sum of the squared distances from the mean
    Column("min", Float, nullable=False),
    Column("max", Float, nullable=False),
    Column("usual", Float),  # of the successful ones, the latest counting most
)

tallies = Table(
    "tallies",
    metadata,
    # Counts that only grow, written with what they count, whichever process does it.
    Column("name", String(32), primary_key=True),
    Column("queue_name", NAME, primary_key=True),
    Column("type_name", Text, primary_key=True),
    Column("detail", String(64), primary_key=True),  # what the name is divided by: a reason, a bucket
    Column("value", Float, nullable=False),
)

notifications = Table(
    "notifications",
    metadata,
    # The outbox: written with what is to be told, removed when it was told or given up.
    Column("id", BIG_ID, primary_key=True),
    Column("target", Text, nullable=False),  # a name in `notify.targets`
    Column("event", String(16), nullable=False),
    Column("queue_name", NAME, nullable=False),
    Column("job_id", BIG),  # null: it is about the queue
    Column("attempt", Integer),
    Column("text", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_try_at", UtcDateTime, nullable=False, index=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

Row = dict[str, Any]
