"""A real Prefect server for tests: its own port and home, one a module, gone afterwards."""

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchd_flows.server import EmbeddedServer, ServerSettings, load_or_create_auth_string

START_SECONDS = 240.0  # on a machine with much else to do


@dataclass(frozen=True, kw_only=True)
class PrefectServer:
    api_url: str
    auth_string: str
    home: Path
    server: EmbeddedServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_settings(home: Path, port: int | None = None, **overrides: str) -> ServerSettings:
    return ServerSettings(
        home=home,
        port=port or free_port(),
        auth_string=load_or_create_auth_string(home / "auth"),
        done_jobs_days=2,
        overrides=overrides,
    )


@contextmanager
def running_prefect_server(home: Path | None = None, **overrides: str) -> Iterator[PrefectServer]:
    """`overrides` are PREFECT_* settings of the server."""
    with tempfile.TemporaryDirectory(prefix="batchd-prefect-", ignore_cleanup_errors=True) as directory:
        settings = server_settings(home or Path(directory), **overrides)
        server = EmbeddedServer(settings, start_seconds=START_SECONDS)
        asyncio.run(server.start())
        try:
            yield PrefectServer(
                api_url=server.api_url,
                auth_string=settings.auth_string.get_secret_value(),
                home=settings.home,
                server=server,
            )
        finally:
            asyncio.run(server.stop())
