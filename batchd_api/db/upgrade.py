"""Brings a database to this version's shape, in one transaction, by the migrations shipped with it.

They are found by package name, not imported: migrations know this package, never the other way round.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

from batchd_api.db.session import Database
from batchd_api.errors import StartupError

SCRIPT_LOCATION = "batchd_migrations:"
START_LOCK = 0x6261746368  # "batch": a number that no other program on that database uses


def head_revision() -> str:
    """The newest revision this version knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise StartupError("This installation has no database migrations; please install it again.")
    return head


def current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> tuple[str | None, str]:
    """Run what is missing. Returns the revisions before and after.

    Raises StartupError for a database that a newer version has made: going on could lose what it holds.
    """
    head = head_revision()
    with database.write() as connection:
        one_at_a_time(connection)
        before = current_revision(connection)
        if before is not None and not _is_known(before):
            raise StartupError(_newer(before))
        if before != head:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before, head


def pending(revision: str | None) -> list[tuple[str, str]]:
    """The migrations that a database of this revision lacks, in order: revision, and what it is about.

    Raises StartupError for a revision of a newer version.
    """
    if revision is not None and not _is_known(revision):
        raise StartupError(_newer(revision))
    known = list(ScriptDirectory.from_config(_config()).walk_revisions())
    steps = [(script.revision, (script.doc or "").rstrip(".")) for script in reversed(known)]
    return [step for step in steps if revision is None or step[0] > revision]


def _newer(revision: str) -> str:
    return (
        f"The database is of a newer version of batchd (revision {revision}, this one knows "
        f"{head_revision()}). Please install that version again, or restore a backup."
    )


def one_at_a_time(connection: Connection) -> None:
    """Several daemons may start on one fresh database; to the end of the transaction there is no other."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(START_LOCK)))


def _is_known(revision: str) -> bool:
    return revision in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", SCRIPT_LOCATION)
    config.set_main_option("path_separator", "os")
    return config
