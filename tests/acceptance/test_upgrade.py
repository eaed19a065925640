"""A new version starts on the oldest released version's database and Prefect home, with a job running."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command

from batchd_api.db.session import Database
from batchd_api.db.upgrade import _config, head_revision
from tests.acceptance.harness import END_SECONDS, Installation, installation, running, until

pytestmark = pytest.mark.slow

OLDEST = "0001"


def as_the_oldest_version_has_it(file: Path) -> None:
    """The same rows in its shape: what came later is not there."""
    newer = file.rename(file.with_suffix(".newer"))
    with closing(Database(f"sqlite:///{file}")) as database, database.write() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, OLDEST)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS newer", (str(newer),))
        names = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            if not name.startswith("sqlite_") and name != "alembic_version":
                columns = ", ".join(f'"{column}"' for column in _columns(connection, name))
                connection.execute(f'INSERT INTO "{name}" ({columns}) SELECT {columns} FROM newer."{name}"')
    newer.unlink()


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f'PRAGMA main.table_info("{table}")')]


def is_processing(here: Installation, number: int) -> bool:
    with here.client() as client:
        job = client.job(number)
    return (job.status, job.stdout) == ("Processing", "before\n")


def test_a_job_that_ran_through_the_upgrade_is_found_again_with_all_its_output(tmp_path: Path) -> None:
    with installation(tmp_path / "here") as here:
        gate = tmp_path / "gate"
        script = f"echo before; while [ ! -e {gate} ]; do sleep 0.1; done; echo after"
        with running(here):
            done = here.enqueue("echo", "long ago")
            assert here.ended(done).status == "Done"
            with here.client() as client:
                number = client.enqueue("default", "command", {"command": f"sh -c '{script}'"}).id
            until(END_SECONDS, "the job to run", lambda: is_processing(here, number))
        as_the_oldest_version_has_it(here.state / "batchd.db")
        plan = here.run("batchd-admin", "-c", here.config, "upgrade-db", "--dry-run")
        assert f"from {OLDEST} to {head_revision()}" in plan.stdout
        with running(here):
            gate.touch()
            job = here.ended(number)
            assert (job.status, job.stdout) == ("Done", "before\nafter\n")
            here.states(number, "Completed")
            here.states(done, "Completed")
            with here.client() as client:
                assert client.job(done).stdout == "long ago\n"
