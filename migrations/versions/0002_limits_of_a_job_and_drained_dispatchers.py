"""Limits of a job of its own, and dispatchers that take no new jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("timeout_seconds", "silence_seconds", "kill_after_seconds"):
        op.add_column("jobs", sa.Column(name, sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("output_limit_bytes", BIG, nullable=True))
    op.add_column("dispatchers", sa.Column("draining", sa.Boolean(), server_default="0", nullable=False))
