"""A migrated database has the shape that the code believes in."""

import itertools
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from batchd_api.db.session import Database
from batchd_api.db.tables import metadata
from batchd_api.db.upgrade import _config, current_revision, head_revision, upgrade
from batchd_api.errors import StartupError
from tests.killed_upgrade import upgraded_until_killed


@pytest.fixture(params=["file", "memory"])
def database(request, tmp_path: Path):
    database = Database("sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'batchd.db'}")
    yield database
    database.close()


def test_a_migrated_schema_equals_a_fresh_one(database):
    upgrade(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


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
        tables = (
            connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        )
    assert set(tables) <= {"jobs"}


def _first_release(path: Path) -> None:
    """A database as the first revision left it."""
    database = Database(f"sqlite:///{path}")
    config = _config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
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
