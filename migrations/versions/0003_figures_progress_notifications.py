"""Figures, progress, notifications."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _new_columns()
    _artifacts()
    _metrics()
    _counts()
    _notifications()


def _new_columns() -> None:
    for table in ("queues", "jobs"):
        op.add_column(table, sa.Column("notify", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("attempts", sa.Column("progress_percent", sa.Float(), nullable=True))
    op.add_column("attempts", sa.Column("progress_text", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("progress_at", TIME, nullable=True))
    op.add_column("attempts", sa.Column("progress_eta", TIME, nullable=True))
    op.add_column("attempts", sa.Column("long_noted", sa.Boolean(), server_default="0", nullable=False))


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("shown_percent", sa.Float(), nullable=True),
        sa.Column("shown_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("flow_run_id", "kind", name=op.f("uq_artifacts_flow_run_id_kind")),
    )


def _metrics() -> None:
    op.create_table(
        "metric_shapes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_shapes")),
        sa.UniqueConstraint("digest", name=op.f("uq_metric_shapes_digest")),
    )
    op.create_table(
        "metric_dumps",
        sa.Column("id", BIG, nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("daemon", sa.String(length=10), nullable=False),
        sa.Column("shape_id", BIG, nullable=False),
        sa.Column("figures", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["shape_id"], ["metric_shapes.id"], name=op.f("fk_metric_dumps_shape_id_metric_shapes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_dumps")),
    )
    op.create_index(op.f("ix_metric_dumps_time"), "metric_dumps", ["time"])
    op.create_index(op.f("ix_metric_dumps_shape_id"), "metric_dumps", ["shape_id"])


def _counts() -> None:
    op.create_table(
        "run_times",
        sa.Column("type_name", sa.Text(), nullable=False),
        sa.Column("host_name", sa.Text(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("squares", sa.Float(), nullable=False),
        sa.Column("min", sa.Float(), nullable=False),
        sa.Column("max", sa.Float(), nullable=False),
        sa.Column("usual", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("type_name", "host_name", name=op.f("pk_run_times")),
    )
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("queue_name", sa.String(length=64), nullable=False),
        sa.Column("type_name", sa.Text(), nullable=False),
        sa.Column("detail", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "queue_name", "type_name", "detail", name=op.f("pk_tallies")),
    )


def _notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", BIG, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("queue_name", sa.String(length=64), nullable=False),
        sa.Column("job_id", BIG, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("next_try_at", TIME, nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notifications_next_try_at"), "notifications", ["next_try_at"])
