"""A PostgreSQL server of the tests' own, on a free port and gone afterwards; a database whenever asked."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.prefect_server import free_port

START_SECONDS = 30
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")


class Postgres:
    def __init__(self, port: int) -> None:
        self._port = port

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"t{uuid4().hex[:12]}"
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def copy_of(self, url: str) -> str:
        """The URL of a new database with everything that is in that one, to which nobody is connected."""
        name, template = f"t{uuid4().hex[:12]}", url.rsplit("/", 1)[1]
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        engine.dispose()
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{database}"


def programs() -> Path:
    """Where PostgreSQL's programs are. Without them: a skip at home, a failure where CI is set."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    if (in_path := shutil.which("postgres")) is not None:
        return Path(in_path).parent
    reason = "there is no PostgreSQL server on this machine"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    bin_folder, identity = programs(), _identity()
    # Not below pytest's own folder: that is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="batchd-postgres-"))
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    options: dict[str, Any] = {
        "env": {"PATH": f"{bin_folder}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)},
        "cwd": "/",
        **identity,
    }
    try:
        data = str(folder / "data")
        subprocess.run(
            [bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            **options,
        )
        with _serving(bin_folder, folder, options) as port:
            yield Postgres(port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _serving(bin_folder: Path, folder: Path, options: dict[str, Any]) -> Iterator[int]:
    port = free_port()
    listening = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
    settings = [argument for setting in QUICK for argument in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [bin_folder / "postgres", "-D", folder / "data", *listening, *settings],
            stdout=log,
            stderr=log,
            **options,
        )
    try:
        _wait(bin_folder, server, port, folder / "log")
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # the fast way
        server.wait(START_SECONDS)


def _wait(bin_folder: Path, server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    ask = [bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ask, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text())
        time.sleep(0.05)


def _identity() -> dict[str, Any]:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
