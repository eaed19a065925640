"""Queues whose jobs run where the workers of another work pool are."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("queues", sa.Column("work_pool", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("work_pool", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("order", sa.JSON(none_as_null=True), nullable=True))
