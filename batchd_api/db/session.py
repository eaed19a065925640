"""Transactions. Blocking: callers in the event loop go through threads.

Reads and writes are told apart where they begin: on SQLite a write takes `BEGIN IMMEDIATE`, because a read
that becomes a write fails at once when another writer was faster. No transaction stays open across a call to
anything but the database.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import StaticPool

from batchd_api.errors import DatabaseBusy, DatabaseFull, DatabaseUnavailable

log = logging.getLogger("batchd.database")

SQLITE_BUSY_TIMEOUT_MS = 30_000
SAY_AGAIN_SECONDS = 60.0
CONNECT_SECONDS = 5
CUT_OFF_MS = 8_000  # no transaction of ours waits for anything but the database


class Database:
    """An engine with the two ways to use it. Safe to share between threads."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        in_memory = self.is_sqlite and (url in ("sqlite://", "sqlite:///:memory:"))
        self.engine = _sqlite_engine(url, in_memory) if self.is_sqlite else _server_engine(url, pool_size)
        # One writer at a time is SQLite's rule; a lock here waits without its sleeping retries. An in-memory
        # database has one connection, so there reading takes the lock too.
        self._write_lock: AbstractContextManager[Any] = threading.RLock() if self.is_sqlite else nullcontext()
        self._said: dict[str, float] = {}  # trouble → when it was put into the log
        self._read_lock: AbstractContextManager[Any] = self._write_lock if in_memory else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to look at."""
        with (
            self._read_lock,
            self._said_once(),
            _translated(),
            self.engine.connect() as connection,
        ):
            if not self.is_sqlite:  # else each query there would see a moment of its own
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on any exception."""
        with self._write_lock, self._said_once(), _translated(), self.engine.connect() as connection:
            connection.execution_options(batchd_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _said_once(self) -> Iterator[None]:
        """Trouble is one line in the log, however many try meanwhile; a minute later it may be said again."""
        try:
            yield
        except (DatabaseFull, DatabaseUnavailable) as error:
            sentence, now = str(error), time.monotonic()
            if now - self._said.get(sentence, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
                self._said[sentence] = now
                log.error("%s", sentence)  # noqa: TRY400  it is said whole
            raise

    def give_back(self, pages: int) -> None:
        """Return at most so many unused pages of a SQLite file to the disk; another server sees to itself."""
        if not self.is_sqlite:
            return
        with self._write_lock, _translated(), closing(self.engine.raw_connection()) as connection:
            # A script, outside a transaction: `execute` stops after the first page.
            driver: Any = connection.driver_connection
            driver.executescript(f"PRAGMA incremental_vacuum({int(pages)})")

    def close(self) -> None:
        self.engine.dispose()


def _server_engine(url: str, pool_size: int) -> Engine:
    return create_engine(
        url, pool_size=pool_size, pool_pre_ping=True, pool_recycle=1800, connect_args=_short_waits(url)
    )


def _short_waits(url: str) -> dict[str, str | int]:
    """Whoever is cut off notices, on both sides: what it held is free before its leases are over.

    What the connection string says itself counts.
    """
    server_side = {"idle_in_transaction_session_timeout": CUT_OFF_MS, "tcp_user_timeout": CUT_OFF_MS}
    ours: dict[str, str | int] = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": CUT_OFF_MS,
        "keepalives_idle": 4,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "options": " ".join(f"-c {name}={value}" for name, value in server_side.items()),
    }
    said = make_url(url).query
    return {name: value for name, value in ours.items() if name not in said}


def _sqlite_engine(url: str, in_memory: bool) -> Engine:
    arguments: dict[str, Any] = {
        "connect_args": {"check_same_thread": False, "timeout": SQLITE_BUSY_TIMEOUT_MS / 1000}
    }
    if in_memory:
        arguments["poolclass"] = StaticPool
    else:
        _make_private(url.removeprefix("sqlite:///"))
    engine = create_engine(url, **arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: str) -> None:
    """A new file is its owner's alone, and so are those that SQLite puts beside it, whatever the umask."""
    with suppress(OSError):  # it is there already; or it cannot be made, which SQLite says in its own words
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to say
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Chosen before anything is written, or never. It lets the file shrink when old jobs have gone.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in (
        f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("batchd_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the driver says about the database itself into our errors; the rest passes."""
    try:
        yield
    except exc.OperationalError as error:
        text = str(error.orig).lower()
        if "locked" in text or "busy" in text:
            raise DatabaseBusy from error
        if "full" in text or "no space" in text:
            raise DatabaseFull from error
        if "no such" in text or "syntax" in text:
            raise
        raise DatabaseUnavailable(str(error.orig).splitlines()[0]) from error
    except exc.InterfaceError as error:
        raise DatabaseUnavailable(str(error.orig).splitlines()[0]) from error
    except exc.TimeoutError as error:  # every connection of the pool is in use
        raise DatabaseBusy from error
    except exc.DatabaseError as error:
        if type(error) is not exc.DatabaseError:
            raise
        raise DatabaseUnavailable(str(error.orig).splitlines()[0]) from error  # a damaged file
    except sqlite3.Error as error:  # while a connection is made ready
        raise DatabaseUnavailable(str(error)) from error
