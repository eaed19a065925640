"""What runs jobs on hosts, put together from the parts: pool, ledger, connections, files, tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from batchd_api.host_desk import HostDesk
from batchd_api.host_ledger import DatabaseLedger
from batchd_api.host_leftovers import SWEEP_SECONDS, HostLeftovers
from batchd_api.host_side import HostSide
from batchd_api.host_tests import HostTests
from batchd_api.launches import Launches
from batchd_api.machines import Machines
from batchd_api.parts import Parts
from batchd_api.planner import HostState, HostView
from batchd_api.recorder import Recorder
from batchd_api.startup import KNOWN_HOSTS_FILE
from batchd_flows.host_check import Step, check_host
from batchd_flows.host_startup import HostStartup
from batchd_flows.local_machine import LocalMachine
from batchd_infra.controllers import Controllers
from batchd_infra.host_ledger import HostEntry
from batchd_infra.host_pool import HostPool, PoolPace
from batchd_infra.host_targets import HostConnections
from batchd_infra.hosts import Host, Hosts

ARRIVING_FOLDER = "arriving"


@dataclass(frozen=True, kw_only=True)
class HostPace:
    """How often things about hosts are tried; tests are in more of a hurry."""

    pool: PoolPace
    copy_retry_seconds: tuple[float, ...] | None = None
    ssh: Mapping[str, float] | None = None  # seconds of an SshTarget that differ from what is usual
    sweep_seconds: float = SWEEP_SECONDS


@dataclass(frozen=True, kw_only=True)
class Hosting:
    side: HostSide
    desk: HostDesk | None  # None: no file defines a host, and no machine of ours is left of earlier ones
    leftovers: HostLeftovers | None = None


class Wakers:
    """Who is to be woken when a host becomes something else; they are made later than we are."""

    def __init__(self) -> None:
        self.dispatcher: Callable[[], None] = lambda: None
        self.desk: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self) -> None:
        self._loop = asyncio.get_running_loop()

    def changed(self) -> None:
        """In any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: we are stopping
                self._loop.call_soon_threadsafe(self.dispatcher)
                self._loop.call_soon_threadsafe(self.desk)


def build_hosting(
    parts: Parts,
    name: str,
    launches: Launches,
    recorder: Recorder,
    *,
    wakers: Wakers,
    said: Callable[[int], None],
    clock: Callable[[], datetime],
    leads: Callable[[], bool],
    pace: HostPace | None = None,
) -> Hosting:
    """Nothing starts yet. `name` is the dispatcher's."""
    settings, hosts = parts.settings, parts.hosts
    known_hosts_file = settings.state_directory / KNOWN_HOSTS_FILE
    ledger = DatabaseLedger(parts.database, parts.job_types, name, clock)
    times = pace.ssh if pace else None
    connections = HostConnections(known_hosts_file, times=times)
    machines = Machines(
        hosts, ledger, connections, local=LocalMachine(), installation_id=parts.installation_id
    )
    side = HostSide(
        machines,
        hosts,
        ledger,
        launches,
        recorder,
        roots=parts.file_roots,
        staging=settings.state_directory / ARRIVING_FOLDER,
        clock=clock,
        said=said,
        wanted=lambda: wakers.desk(),
        retry_seconds=pace.copy_retry_seconds if pace else None,
    )
    if not len(hosts) and not any(entry.ours for entry in ledger.entries().values()):
        return Hosting(side=side, desk=None)
    startup = HostStartup(
        HostConnections(known_hosts_file, times=times),
        variables=settings.variables,
        default_syntax=settings.default_template_syntax,
        environment=dict(os.environ),
    )
    pool = HostPool(
        hosts,
        parts.controllers,
        ledger,
        startup,
        changed=wakers.changed,
        clock=clock,
        pace=pace.pool if pace else None,
    )

    def check(host_name: str, tell: Callable[[Step], None]) -> None:
        host = hosts.get(host_name)
        entry = ledger.entries().get(host_name) or HostEntry(name=host_name)
        check_host(host, entry, parts.controllers.of(host), known_hosts_file, tell)

    desk = HostDesk(pool, HostTests(parts.database, name, check, clock), clock, begin=wakers.bind)
    wakers.desk = desk.wake
    leftovers = HostLeftovers(
        parts.database,
        machines,
        hosts,
        ledger,
        leads=leads,
        sweep_seconds=pace.sweep_seconds if pace else SWEEP_SECONDS,
    )
    return Hosting(side=side, desk=desk, leftovers=leftovers)


def host_views(hosts: Hosts, controllers: Controllers) -> Mapping[str, HostView]:
    """What the planner is told by files; how a host is at the moment, the ledger says."""
    return {host.name: _view(host, controllers) for host in hosts}


def _view(host: Host, controllers: Controllers) -> HostView:
    view = HostView(name=host.name, max_jobs=host.max_jobs)
    if host.controller in controllers:
        return view
    text = f"no file defines the controller {host.controller} of host {host.name}"
    return replace(view, state=HostState.FAILED, text=text)
