"""As whom the jobs of a queue run."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("queues", sa.Column("run_as", sa.String(64), nullable=True))
