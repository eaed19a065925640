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
    DateTime,
    Dialect,
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
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("queue_name", NAME, ForeignKey("queues.name"), nullable=False),
    Column(
        "seq", BIG, nullable=False
    ),  # order within the queue; unique there only among what the planner looks at
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
    Column(
        "attempt", Integer, nullable=False, server_default="0"
    ),  # number of the latest attempt, 0 = none yet
