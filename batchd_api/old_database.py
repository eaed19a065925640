"""The database of an original batchd, as its Haskell library `persistent` lays it out. Only ever read.

Its schema is documented nowhere, so tables and columns are found by inspection: case and underscores do not
count, and there are a few names for each.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, column, create_engine, exc, inspect, make_url, select, table

from batchd_api.connection_strings import looks_like_postgres, postgres_url
from batchd_api.errors import StartupError

OURS = "alembic_version"
# Table → what it may be called. The first three make a database the original's.
TABLES = {
    "queue": ("queue", "queues"),
    "job": ("job", "jobs"),
    "user": ("user", "users"),
    "permission": ("userpermission", "userpermissions", "permission", "permissions"),
    "schedule": ("schedule", "schedules"),
    "time": ("scheduletime", "scheduletimes"),
    "weekday": ("scheduleweekday", "scheduleweekdays"),
}
SIGNS = ("queue", "job", "user")
# Columns that name a row of another table, or hold its number.
REFERENCES = {
    "user": ("username", "user", "userid"),
    "queue": ("queuename", "queue", "queueid"),
    "schedule": ("schedulename", "schedule", "scheduleid"),
}

Row = Mapping[str, Any]  # keys without underscores, in lower case


@dataclass(frozen=True, kw_only=True)
class OldRows:
    """Everything that may be carried over, with names where numbers referred to rows. `found` and `missing`
    tell of its tables."""

    tables: Mapping[str, tuple[Row, ...]]
    found: tuple[str, ...]
    missing: tuple[str, ...]


def refuse_originals(url: str) -> None:
    """Raises StartupError for a database of the original. A SQLite file is not even locked by this look."""
    if url.startswith("sqlite"):
        found = _tables_of_file(Path(make_url(url).database or ""))
    else:
        engine = _reading_engine(url)
        try:
            with engine.connect() as connection:
                found = set(inspect(connection).get_table_names())
        except exc.SQLAlchemyError:
            return  # whoever opens it next says what is wrong
        finally:
            engine.dispose()
    if OURS not in found and is_originals(found):
        raise StartupError(
            "The database of connection_string is the original batchd's; nothing in it was touched. Give "
            "this batchd a database of its own, and carry users, queues and schedules over with: "
            "batchd-admin import-users OLD-DATABASE"
        )


def is_originals(table_names: set[str]) -> bool:
    plain = {_plain(name) for name in table_names}
    return all(plain & set(TABLES[sign]) for sign in SIGNS) and OURS not in table_names


def read_old_database(source: str) -> OldRows:
    """`source`: a SQLite file, or PostgreSQL's connection string. Raises StartupError."""
    try:
        with _opened(source) as connection:
            return _rows(connection)
    except exc.SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StartupError(f"The old database cannot be read: {cause}") from error


@contextmanager
def _opened(source: str) -> Iterator[Connection]:
    if looks_like_postgres(source):
        try:
            url = postgres_url(source)
        except ValueError as error:
            raise StartupError(f"What was given for the old database {error}.") from error
        with _connected(_reading_engine(url)) as connection:
            yield connection
        return
    file = make_url(source).database or "" if source.startswith("sqlite:") else source
    with _copied(Path(file).expanduser()) as copy, _connected(create_engine(f"sqlite:///{copy}")) as found:
        yield found


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _reading_engine(url: str) -> Engine:
    options = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    return create_engine(url, execution_options=options, connect_args={"connect_timeout": 10})


@contextmanager
def _copied(file: Path) -> Iterator[Path]:
    """SQLite writes beside a file even to read it (and into it, after a crash): we look at a copy."""
    if not file.is_file():
        raise StartupError(f"There is no file {file}; an old database is a SQLite file or host=… dbname=…")
    with tempfile.TemporaryDirectory(prefix="batchd-import-") as folder:
        try:
            for suffix in ("", "-wal", "-journal"):
                if (part := file.with_name(file.name + suffix)).exists():
                    shutil.copyfile(part, Path(folder) / f"old.db{suffix}")
        except OSError as error:
            raise StartupError(f"The old database {file} cannot be read: {error.strerror}.") from error
        yield Path(folder) / "old.db"


def _tables_of_file(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    # `immutable`: no lock is taken and no file is made beside it; nor is what is in the journal seen.
    found = _tables(f"{file.absolute().as_uri()}?mode=ro&immutable=1")
    journal = file.with_name(f"{file.name}-wal")
    if OURS in found or not journal.exists() or not journal.stat().st_size:
        return found
    # A daemon that was killed leaves everything in there, when that is little.
    with _copied(file) as copy:
        return found | _tables(copy.as_uri())


def _tables(address: str) -> set[str]:
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {str(name) for (name,) in names}
    except sqlite3.Error:
        return set()  # whoever opens it next says what is wrong


def _rows(connection: Connection) -> OldRows:
    inspector = inspect(connection)
    names = {_plain(name): name for name in inspector.get_table_names()}
    if not any(candidate in names for candidate in TABLES["user"]):
        raise StartupError("This is no database of the original batchd: it has no table for users.")
    if OURS in inspector.get_table_names():
        raise StartupError("This is a database of this batchd, not of the original.")
    tables: dict[str, tuple[Row, ...]] = {}
    said: list[str] = []
    for kind, candidates in TABLES.items():
        found = next((names[candidate] for candidate in candidates if candidate in names), None)
        if found is not None and kind != "job":
            tables[kind] = _read(connection, found, [c["name"] for c in inspector.get_columns(found)])
            said.append(f"{found} ({len(tables[kind])} rows)")
    missing = tuple(kind for kind in TABLES if kind not in tables and kind != "job")
    return OldRows(tables=_with_names(tables), found=tuple(said), missing=missing)


def _with_names(tables: Mapping[str, tuple[Row, ...]]) -> dict[str, tuple[Row, ...]]:
    named: dict[str, dict[Any, Any]] = {}
    for kind, columns in REFERENCES.items():
        numbers = {row.get("id"): row.get("name") for row in tables.get(kind, ())}
        numbers = {number: name for number, name in numbers.items() if isinstance(number, int)}
        named |= dict.fromkeys(columns, numbers)
    return {
        kind: tuple({key: named.get(key, {}).get(value, value) for key, value in row.items()} for row in rows)
        for kind, rows in tables.items()
    }


def _read(connection: Connection, name: str, columns: list[str]) -> tuple[Row, ...]:
    # Columns without a type: what stands there is taken as it is, and judged where it is used.
    query = select(*table(name, *map(column, columns)).c)
    return tuple(
        {_plain(key): value for key, value in zip(columns, row, strict=True)}
        for row in connection.execute(query)
    )


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
