"""Alembic's entry point: runs the versions in the connection that `batchd_api.db.upgrade` hands over."""

from alembic import context
from sqlalchemy import Connection

from batchd_api.db.host_tables import metadata  # and with it nearly all the others
from batchd_api.db.job_counts import job_counts  # noqa: F401


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # The caller's transaction is the unit: a version is there whole or not at all.
        transaction_per_migration=False,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    context.run_migrations()


run(context.config.attributes["connection"])
