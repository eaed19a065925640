"""Prefect reads its settings when it is imported: no test may read or write the user's ~/.prefect."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.postgres import Postgres
    from tests.prefect_server import PrefectServer

for _name in [name for name in os.environ if name.startswith("PREFECT")]:
    del os.environ[_name]
_home = tempfile.mkdtemp(prefix="batchd-tests-prefect-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ |= {
    "PREFECT_HOME": _home,
    "PREFECT_PROFILES_PATH": f"{_home}/profiles.toml",
    "PREFECT_API_URL": "http://127.0.0.1:9/api",  # nobody: what forgets to say its server fails at once
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLIENT_MAX_RETRIES": "2",
}
# How long an example takes says something of the machine, which others use too.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
# Helpers are imported as `tests.…`, however pytest was started.
sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def prefect_server(request: pytest.FixtureRequest) -> "Iterator[PrefectServer]":
    """A real Prefect server, one a module (10 s); the module's PREFECT_OVERRIDES are settings of it."""
    from tests.prefect_server import running_prefect_server  # kept out of the start of every unit test

    with running_prefect_server(**getattr(request.module, "PREFECT_OVERRIDES", {})) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """A real PostgreSQL server (3 s); a skip where there is none, in CI a failure."""
    from tests.postgres import running_postgres

    with running_postgres() as running:
        yield running
