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
