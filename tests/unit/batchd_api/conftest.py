"""What the tests of the batchd side share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import Installation, copied_installation, installation, opened_installation
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def installation_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("installation") / "batchd.db"
    with installation(f"sqlite:///{path}"):
        return path


@pytest.fixture(scope="session")
def installation_on_server(postgres: Postgres) -> str:
    url = postgres.new_database()
    with installation(url):
        return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def here(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Everything that is asked of the database is asked of PostgreSQL too, in the slow tier."""
    if request.param == "sqlite":
        with copied_installation(request.getfixturevalue("installation_file")) as made:
            yield made
        return
    if (marker := request.node.get_closest_marker("sqlite_only")) is not None:
        pytest.skip(marker.kwargs["reason"])
    template = request.getfixturevalue("installation_on_server")
    with opened_installation(request.getfixturevalue("postgres").copy_of(template)) as made:
        yield made


@pytest.fixture(params=["file", "memory", "postgresql"])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation on each kind of database that there is."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    else:
        url = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'batchd.db'}"
    with installation(url) as made:
        yield made
