"""The whole product on PostgreSQL: our database and the embedded Prefect server's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.acceptance.harness import Installation, installation, running
from tests.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def prefect_database(postgres: Postgres) -> str:
    return postgres.new_database().replace("+psycopg", "")


@pytest.fixture
def here(tmp_path: Path, postgres: Postgres, prefect_database: str) -> Iterator[Installation]:
    ours = postgres.new_database().split("@")[1]
    port, name = ours.split(":")[1].split("/")
    connection = (
        f"driver: PostgreSql\nconnection_string: host=127.0.0.1 port={port} user=postgres dbname={name}\n"
    )
    with installation(
        tmp_path / "here", settings=connection, prefect=f"database_url: '{prefect_database}'"
    ) as here:
        yield here


def test_jobs_run_and_are_remembered_with_both_databases_on_postgresql(
    here: Installation, prefect_database: str
) -> None:
    with running(here):
        first = here.enqueue("echo", "kept in PostgreSQL")
        assert here.ended(first).stdout == "kept in PostgreSQL\n"
        here.states(first, "Completed")
    assert not list(here.state.rglob("*.db"))
    engine = create_engine(prefect_database.replace("postgresql", "postgresql+psycopg"))
    with engine.connect() as connection:
        names = connection.execute(text("SELECT name FROM flow_run")).scalars().all()
    engine.dispose()
    assert [name for name in names if name.startswith(f"#{first} ")] != []
    with running(here):
        second = here.enqueue("echo", "again")
        assert here.ended(second).status == "Done"
        here.states(first, "Completed")
        here.states(second, "Completed")
