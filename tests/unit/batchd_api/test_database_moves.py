"""Backup, restore and move: everything arrives, on both kinds of database, and nothing is lost by mistake."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from click.testing import CliRunner, Result
from sqlalchemy import delete, insert, select, text, update

from batchd_api.admin import main
from batchd_api.db.copying import TABLES, copy_rows
from batchd_api.db.session import Database
from batchd_api.db.tables import jobs, leases, notifications
from batchd_api.db.upgrade import _config, current_revision, head_revision, upgrade
from batchd_api.world import beat
from tests.ground import NOW, Installation, installation

Admin = Callable[..., Result]


def everything(database: Database) -> dict[str, list[Any]]:
    with database.read() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in TABLES
        }


def fill(here: Installation) -> int:
    """Something in every kind of column; the newest job has gone. Its number."""
    here.schedule("night", "22:00:00", "06:00:00")
    here.queue("renders", schedule_name="night")
    here.set_queue("renders", notify=[{"event": "fail", "target": "ops"}])
    first = here.enqueue("renders", params={"a": "ä\n\u2603", "empty": ""})
    here.attempt(first, state="ended", exit_code=3, ended_at=NOW)
    here.write(first, "stdout", bytes(range(256)) * 200)
    for _ in range(250):
        here.write(first, "stderr", b"line\n")
    with here.database.write() as connection:
        connection.execute(
            insert(notifications).values(
                target="ops", event="fail", queue_name="renders", text="x", created_at=NOW, next_try_at=NOW
            )
        )
        connection.execute(insert(leases).values(name="planner", holder="d", term=3, until=NOW))
    newest = here.enqueue("renders")
    with here.database.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.id == newest))
    return newest


def empty(url: str) -> Database:
    database = Database(url)
    upgrade(database)
    return database


def next_id(database: Database) -> int:
    with database.write() as connection:
        row = {"queue_name": "renders", "seq": 99, "type_name": "command", "user_name": "x", "params": {}}
        made = insert(jobs).values(create_time=NOW, status="New", **row).returning(jobs.c.id)
        return int(connection.execute(made).scalar_one())


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_a_copy_holds_every_row_and_gives_no_number_twice(
    everywhere: Installation, to: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    newest = fill(everywhere)
    before = everything(everywhere.database)
    assert [name for name in ("jobs", "output", "notifications", "leases") if not before[name]] == []
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    if to == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    with closing(empty(url)) as copy:
        counts = copy_rows(everywhere.database, copy)
        assert everything(copy) == before
        assert counts == {name: len(rows) for name, rows in before.items()}
        assert next_id(copy) == newest + 1


# The commands


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "batchd.yaml").write_text(f"state_directory: {tmp_path / 'state'}\n")
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


@pytest.fixture
def admin(state: Path) -> Admin:
    def run(*arguments: str | Path, **fields: Any) -> Result:
        words = ["-c", str(state.parent / "batchd.yaml"), *map(str, arguments)]
        return CliRunner().invoke(main, words, **fields)

    return run


@pytest.fixture
def filled(state: Path) -> Iterator[Installation]:
    with installation(f"sqlite:///{state / 'batchd.db'}") as here:
        fill(here)
        yield here


def said(result: Result, code: int = 0) -> str:
    assert result.exit_code == code, result.output
    return result.output


def test_a_backup_restores_what_was_lost_and_asks_before(
    admin: Admin, filled: Installation, tmp_path: Path
) -> None:
    file, before = tmp_path / "backup.db", everything(filled.database)
    assert "1 jobs, 1 executions" in said(admin("backup", file))
    assert file.stat().st_mode & 0o077 == 0
    assert "exists already" in said(admin("backup", file), 2)
    filled.enqueue("renders")
    after = everything(filled.database)
    assert "2 jobs" in said(admin("restore", file, "--dry-run"))
    assert "Nothing was changed" in said(admin("restore", file, input="n\n"), 1)
    assert everything(filled.database) == after
    assert "Restored: 0 users, 2 queues" in said(admin("restore", file, "--yes"))
    assert everything(filled.database) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "batchd.yaml", "state"]


def test_move_db_carries_everything_from_sqlite_to_postgresql_and_a_backup_brings_it_back(
    admin: Admin, filled: Installation, postgres: Any, state: Path, tmp_path: Path
) -> None:
    url, before = postgres.new_database(), everything(filled.database)
    plain = url.replace("+psycopg", "")
    assert "that would be written into PostgreSQL" in said(admin("move-db", plain, "--dry-run"))
    assert "Moved: 0 users, 2 queues" in said(admin("move-db", plain))
    assert everything(filled.database) == before
    with closing(Database(url)) as moved:
        assert everything(moved) == before
        assert "only fills an empty database" in said(admin("move-db", plain), 2)
    config = state.parent / "batchd.yaml"
    config.write_text(f"{config.read_text()}driver: PostgreSql\nconnection_string: {plain}\n")
    said(admin("backup", tmp_path / "of-postgresql.db"))
    config.write_text(f"state_directory: {tmp_path / 'elsewhere'}\n")
    said(admin("restore", tmp_path / "of-postgresql.db"))
    with closing(Database(f"sqlite:///{tmp_path / 'elsewhere' / 'batchd.db'}")) as restored:
        assert everything(restored) == before


@pytest.mark.parametrize("words", [("upgrade-db",), ("restore", "f", "--yes"), ("move-db", "other.db")])
def test_what_a_daemon_uses_is_not_changed_below_it(
    admin: Admin, filled: Installation, state: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    said(admin("backup", tmp_path / "f"))  # that it may be, meanwhile
    named = [str(tmp_path / word) if word in ("f", "other.db") else word for word in words]
    with (state / "manager.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "A manager runs already" in said(admin(*named), 2)
    beat(filled.database, "far-away", 1, None, datetime.now(UTC))
    assert "in use by the dispatcher far-away" in said(admin(*named), 2)


def test_what_an_upgrade_will_do_is_said_while_the_daemon_runs(
    admin: Admin, filled: Installation, state: Path
) -> None:
    with (state / "manager.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "nothing is to be done" in said(admin("upgrade-db", "--dry-run"))


def test_upgrade_db_says_first_what_it_will_do(admin: Admin, state: Path) -> None:
    path = state / "batchd.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        old(database, "0004")
        plan = said(admin("upgrade-db", "--dry-run"))
        assert f"from 0004 to {head_revision()}:\n  0005: Indexes for what is asked" in plan
        with database.read() as connection:
            assert current_revision(connection) == "0004"
        assert said(admin("upgrade-db")) == f"The database is at revision {head_revision()}.\n"
        assert "nothing is to be done" in said(admin("upgrade-db", "--dry-run"))


def test_a_backup_of_an_older_version_is_restored_in_this_versions_shape(
    admin: Admin, state: Path, tmp_path: Path
) -> None:
    with closing(Database(f"sqlite:///{state / 'batchd.db'}")) as database:
        old(database, "0001")
        with database.write() as connection:
            connection.execute(text("INSERT INTO schedules (name) VALUES ('anytime')"))
        said(admin("backup", tmp_path / "old.db"))
        said(admin("upgrade-db"))
        with database.write() as connection:
            connection.execute(update(jobs).values(notes="x"))
        said(admin("restore", tmp_path / "old.db", "--yes"))
        with database.read() as connection:
            assert current_revision(connection) == head_revision()
    assert "no backup" in said(admin("restore", tmp_path / "nothing.db"), 2)
    (tmp_path / "other.db").write_bytes(b"")
    assert "is no backup of batchd's" in said(admin("restore", tmp_path / "other.db"), 2)


def old(database: Database, revision: str) -> None:
    config = _config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
