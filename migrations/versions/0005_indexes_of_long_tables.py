"""Indexes for what is asked again and again of long tables."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ENDED = sa.text("end_time IS NOT NULL")
LIVE = sa.text("shown NOT IN ('CANCELLED', 'COMPLETED', 'CRASHED', 'FAILED')")


def upgrade() -> None:
    op.create_index("ix_jobs_queue_name_seq", "jobs", ["queue_name", "seq"])
    op.create_index("ix_jobs_ended", "jobs", ["end_time", "id"], sqlite_where=ENDED, postgresql_where=ENDED)
    op.create_index("ix_flow_runs_live", "flow_runs", ["id"], sqlite_where=LIVE, postgresql_where=LIVE)
