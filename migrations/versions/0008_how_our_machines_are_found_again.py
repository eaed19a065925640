"""How a machine that we started is found again when its host's file is gone or says something else."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("hosts", sa.Column("controller", sa.Text(), nullable=True))
    op.add_column("hosts", sa.Column("controller_id", sa.Text(), nullable=True))
