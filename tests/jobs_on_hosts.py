"""A dispatcher whose jobs run on a real `sshd`, behind a network that the test holds in its hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from batchd_api.db.tables import attempts
from batchd_api.hosting import HostPace
from batchd_flows.job_types import JobType
from batchd_infra.file_roots import FileRoots
from batchd_infra.host_pool import PoolPace
from batchd_infra.hosts import Host
from tests.dispatching import ROOT, Daemon
from tests.machine_park import SshdMachine
from tests.prefect_server import PrefectServer
from tests.tcp_proxy import Pass, TcpProxy

PACE = HostPace(
    pool=PoolPace(tries=2, try_pause_seconds=0.1, look_seconds=0.1, ready_limit_seconds=2),
    copy_retry_seconds=(0.2, 0.5),
    ssh={"connect_seconds": 2, "handshake_seconds": 3, "login_seconds": 5, "answer_seconds": 5},
    sweep_seconds=0.5,
)

Build = Callable[..., Awaitable[Daemon]]


@asynccontextmanager
async def daemons_on(
    box: SshdMachine, proxy: TcpProxy, server: PrefectServer, folder: Path, types: Sequence[JobType]
) -> AsyncIterator[Build]:
    """`make(known=, roots=, more=, **fields)`: its host `box` is reached through the proxy."""
    daemons: list[Daemon] = []

    async def make(
        *, known: bool = True, roots: FileRoots | None = None, more: Sequence[Host] = (), **fields: Any
    ) -> Daemon:
        host = box.host("box", port=proxy.port, **fields)
        daemon = Daemon(server, folder, workers=4, types=types, hosts=[host, *more], host_pace=PACE)
        if roots is not None:
            daemon.parts = replace(daemon.parts, file_roots=roots)
        if known:
            (folder / "known_hosts").write_text(box.known_line(proxy.port))
        daemons.append(daemon)
        await daemon.start()
        return daemon

    yield make
    proxy.mode = Pass()
    alive = select(attempts).where(attempts.c.state != "ended", attempts.c.cancel_requested_at.is_(None))
    for daemon in daemons:
        for attempt in daemon.rows(alive):
            daemon.jobs.cancel(ROOT, attempt.job_id)
        await daemon.close()
