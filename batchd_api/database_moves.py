"""Backup, restore and move of the database: what would be done in words first, then done. Blocking.

A backup is a SQLite file with everything, whatever the database itself is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, make_url, select

from batchd_api.alive import alive_since
from batchd_api.db.copying import copy_rows, count_rows, counted
from batchd_api.db.session import Database
from batchd_api.db.tables import dispatchers
from batchd_api.db.upgrade import current_revision, head_revision, pending, upgrade
from batchd_api.errors import StartupError


@dataclass(frozen=True, kw_only=True)
class Contents:
    """`revision` None: nothing of ours is there."""

    name: str
    revision: str | None
    counts: dict[str, int]

    def __str__(self) -> str:
        if self.revision is None:
            return f"{self.name} is empty"
        what = counted(self.counts) if self.counts else "an older shape"
        return f"{self.name} is at revision {self.revision} and holds {what}"


def contents(database: Database) -> Contents:
    with database.read() as connection:
        revision = current_revision(connection)
        counts = count_rows(connection) if revision == head_revision() else {}
    return Contents(name=name_of(database.url), revision=revision, counts=counts)


def name_of(url: str) -> str:
    """How people know it; never its password."""
    parsed = make_url(url)
    if parsed.drivername.startswith("sqlite"):
        return parsed.database or "the database in memory"
    port = f":{parsed.port}" if parsed.port else ""
    return f"PostgreSQL {parsed.database or parsed.username} on {parsed.host or 'this machine'}{port}"


def upgrade_in_words(database: Database) -> str:
    before = contents(database).revision
    steps = pending(before)
    if not steps:
        return f"{name_of(database.url)} is up to date (revision {before}): nothing is to be done."
    what = "\n".join(f"  {revision}: {title}" for revision, title in steps)
    return f"{name_of(database.url)} would be brought from {before or 'nothing'} to {steps[-1][0]}:\n{what}"


def refuse_while_it_is_used(database: Database, own_name: str) -> None:
    """Raises StartupError where a dispatcher on another machine has said within seconds that it lives."""
    with database.read() as connection:
        names = [name for name in _alive(connection) if name != own_name]
    if names:
        raise StartupError(
            f"{name_of(database.url)} is in use by the dispatcher {', '.join(names)}: "
            "stop it first, and wait 15 s."
        )


def _alive(connection: Connection) -> list[str]:
    if not inspect(connection).has_table(dispatchers.name):
        return []
    query = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(datetime.now(UTC)))
    return list(connection.execute(query).scalars())


def back_up(database: Database, file: Path) -> Contents:
    """A running daemon is not disturbed: the copy is of one moment. Raises StartupError."""
    if file.exists():
        raise StartupError(f"{file} exists already: choose another name.")
    revision = contents(database).revision
    if revision is None:
        raise StartupError(f"{name_of(database.url)} is empty: there is nothing to back up.")
    if revision != head_revision() and not database.is_sqlite:
        raise StartupError(
            f"{name_of(database.url)} is at revision {revision}, which this version does not write: "
            "use pg_dump, or the batchd-admin of the version that made it."
        )
    draft = file.with_name(f".{file.name}.part")
    draft.unlink(missing_ok=True)
    try:
        with closing(Database(f"sqlite:///{draft}")) as copy:
            if database.is_sqlite:
                _copy_pages(database, copy)
            else:
                replace_all(copy, database)
            made = contents(copy)
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    return replace(made, name=str(file))


def _copy_pages(source: Database, target: Database) -> None:
    """As SQLite does it: of any revision, also while another process writes."""
    with (
        closing(source.engine.raw_connection()) as reading,
        closing(target.engine.raw_connection()) as writing,
    ):
        reader: Any = reading.driver_connection
        reader.backup(writing.driver_connection)


@contextmanager
def backup_opened(file: Path) -> Iterator[Database]:
    """A copy of it in this version's shape; the file itself stays as it is. Raises StartupError."""
    if not file.is_file():
        raise StartupError(f"There is no backup {file}.")
    with tempfile.TemporaryDirectory(prefix="batchd-restore-", dir=file.parent) as folder:
        copy = Path(folder) / "backup.db"
        shutil.copyfile(file, copy)
        copy.chmod(0o600)
        with closing(Database(f"sqlite:///{copy}")) as opened:
            if contents(opened).revision is None:
                raise StartupError(f"{file} is no backup of batchd's.")
            upgrade(opened)
            yield opened


def replace_all(target: Database, source: Database) -> dict[str, int]:
    """`source` is of this version's shape; `target` is brought to it."""
    upgrade(target)
    return copy_rows(source, target)


def refuse_full(target: Database) -> None:
    """Raises StartupError: a move never writes over another installation."""
    found = contents(target)
    if found.revision is not None:
        raise StartupError(f"{found}: move-db only fills an empty database.")
