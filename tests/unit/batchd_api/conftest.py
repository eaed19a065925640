"""What the tests of the batchd side share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import Installation, copied_installation, installation


@pytest.fixture(scope="session")
def installation_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("installation") / "batchd.db"
    with installation(f"sqlite:///{path}"):
        return path


@pytest.fixture
def here(installation_file: Path) -> Iterator[Installation]:
    with copied_installation(installation_file) as made:
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
