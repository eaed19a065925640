"""A migrated database has the shape that the code believes in."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text

from batchd_api.db.job_counts import numbers
from batchd_api.db.session import Database
from batchd_api.db.tables import jobs, metadata
from batchd_api.db.upgrade import _config, current_revision, head_revision, pending, upgrade
from batchd_api.errors import StartupError
from batchd_api.services.installation import ensure_first_rows
from tests.killed_upgrade import upgraded_until_killed


@pytest.fixture(params=["file", "memory", "postgresql"])
def database(request, tmp_path: Path):
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    else:
        url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'batchd.db'}"
    database = Database(url)
    yield database
    database.close()


RELEASED = [revision for revision, _ in pending(None)]


def bring_to(database: Database, revision: str) -> None:
    """As that version left it."""
    config = _config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def triggers(database: Database) -> dict[str, str]:
    """Triggers and their functions, by name, as the database says them."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    if not database.is_sqlite:
        query = (
            "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal UNION ALL "
            "SELECT proname, pg_get_functiondef(oid) FROM pg_proc "
            "WHERE pronamespace = 'public'::regnamespace"
        )
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


def test_a_migrated_schema_equals_a_fresh_one(database):
    upgrade(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrated_triggers_equal_fresh_ones(database):
    with database.write() as connection:
        metadata.create_all(connection)
    fresh = triggers(database)
    with database.write() as connection:
        metadata.drop_all(connection)
        if not database.is_sqlite:
            connection.execute(text("DROP FUNCTION count_jobs"))
    upgrade(database)
    assert triggers(database) == fresh
    assert len(fresh) >= 3


def test_jobs_that_were_there_before_they_were_counted_are_counted(database):
    bring_to(database, "0009")
    with database.write() as connection:
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    upgrade(database)
    with database.read() as connection:
        assert connection.execute(numbers()).all() == [("night", "New", 1)]


def test_an_upgrade_says_from_where_to_where_and_a_second_one_changes_nothing(database):
    assert upgrade(database) == (None, head_revision())
    assert upgrade(database) == (head_revision(), head_revision())


def test_a_database_of_a_newer_version_is_refused_in_one_sentence(database):
    upgrade(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="newer version of batchd") as caught:
        upgrade(database)
    assert "\n" not in str(caught.value)


def test_a_migration_that_fails_leaves_no_half_schema(database):
    with database.write() as connection:
        connection.execute(text("CREATE TABLE jobs (id INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(database)
    with database.read() as connection:
        assert current_revision(connection) is None
        tables = inspect(connection).get_table_names()
    assert set(tables) <= {"jobs"}


OLD_ROWS = (
    "INSERT INTO schedules (name) VALUES ('anytime')",
    "INSERT INTO queues (name, title, enabled, schedule_name) VALUES ('night', 'Night', true, 'anytime')",
    "INSERT INTO jobs (id, queue_name, seq, type_name, user_name, create_time, status, params) "
    "VALUES (7, 'night', 1, 'command', 'ann', '2026-11-24 22:00:00', 'New', '{}')",
)


@pytest.mark.parametrize("revision", RELEASED)
def test_from_every_released_version_the_rows_stay_and_the_shape_becomes_the_fresh_one(database, revision):
    bring_to(database, revision)
    with database.write() as connection:
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    assert upgrade(database) == (revision, head_revision())
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        row = connection.execute(select(jobs.c.id, jobs.c.queue_name, jobs.c.user_name, jobs.c.status)).one()
    assert tuple(row) == (7, "night", "ann", "New")


def test_what_an_upgrade_will_do_is_known_before(database):
    assert [revision for revision, _ in pending("0003")][:2] == ["0004", "0005"]
    assert pending(head_revision()) == []
    with pytest.raises(StartupError, match="newer version"):
        pending("9999")


def test_daemons_that_start_at_once_on_one_fresh_server_make_its_tables_once(postgres):
    url = postgres.new_database()

    def start(_number: int) -> str:
        database = Database(url)
        try:
            upgrade(database)
            with database.write() as connection:
                return ensure_first_rows(connection, datetime.now(UTC))
        finally:
            database.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(start, range(4)))) == 1


def _first_release(path: Path) -> None:
    """A database as the first revision left it."""
    database = Database(f"sqlite:///{path}")
    bring_to(database, "0001")
    database.close()


@pytest.mark.parametrize("start", [pytest.param(None, marks=pytest.mark.slow), "0001"])
def test_b7_a_migration_killed_at_any_step_left_nothing_and_the_next_start_finishes_it(
    tmp_path: Path, start: str | None
):
    for step in itertools.count(1):
        path = tmp_path / f"{step}.db"
        if start is not None:
            _first_release(path)
        is_done = upgraded_until_killed(path, step)
        database = Database(f"sqlite:///{path}")
        with database.read() as connection:
            assert current_revision(connection) == (head_revision() if is_done else start)
        upgrade(database)
        with database.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        database.close()
        if is_done:
            break
    assert step > 3
