"""Hosts that come and go: a real `sshd` that a controller starts and stops. FAULTS: D8-D12 D14 I6."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchd_api.host_ledger import entries_in
from batchd_api.hosting import HostPace
from batchd_flows.job_types import COMMAND
from batchd_infra.host_ledger import HostEntry, HostPhase
from batchd_infra.host_pool import PoolPace
from batchd_infra.hosts import Host
from tests.dispatching import Daemon, until
from tests.machine_park import ParkController, SshdMachine, machine_park
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

PACE = HostPace(
    pool=PoolPace(try_pause_seconds=0.1, look_seconds=0.1, ready_limit_seconds=2, stop_again_seconds=0.3),
    copy_retry_seconds=(0.2, 0.5),
    ssh={"connect_seconds": 2, "handshake_seconds": 3, "login_seconds": 5, "answer_seconds": 5},
)
TYPES = (replace(COMMAND, name="triple", max_jobs=3),)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SshdMachine]]:
    with machine_park(tmp_path_factory.mktemp("park"), "vm", "other") as machines:
        yield machines


@pytest.fixture
def park(machines: dict[str, SshdMachine]) -> Iterator[ParkController]:
    yield ParkController(machines)
    for machine in machines.values():
        machine.shut_down()


Build = Callable[..., Any]


@pytest.fixture
async def build(prefect_server: PrefectServer, tmp_path: Path, park: ParkController) -> AsyncIterator[Build]:
    """A daemon, started, with these hosts."""
    daemons: list[Daemon] = []

    async def make(*hosts: Host, workers: int = 4, start: bool = True) -> Daemon:
        daemon = Daemon(
            prefect_server,
            tmp_path,
            workers=workers,
            types=TYPES,
            hosts=hosts,
            controllers=[park],
            host_pace=PACE,
        )
        known = "".join(machine.known_line() for machine in park.machines.values())
        (tmp_path / "known_hosts").write_text(known)
        daemons.append(daemon)
        if start:
            await daemon.start()
        return daemon

    yield make
    for daemon in daemons:
        await daemon.close()


def vm(park: ParkController, name: str = "vm", **fields: Any) -> Host:
    return park.machines[name].host(
        name, **({"controller": "park", "shutdown_timeout_seconds": 0.5} | fields)
    )


def entry(daemon: Daemon, name: str = "vm") -> HostEntry:
    with daemon.database.read() as connection:
        return entries_in(connection).get(name) or HostEntry(name=name)


async def test_a_host_is_started_for_its_first_job_and_stopped_when_it_has_none(build, park):
    daemon = await build(vm(park))
    job = daemon.enqueue("echo here; echo there >&2; exit 0", host_name="vm")
    await daemon.status(job, "Done")
    assert daemon.output(job) in (b"here\nthere\n", b"there\nhere\n")
    assert daemon.attempts(job)[0].host_name == "vm"
    await until(lambda: park.events == [("boot", "vm"), ("stop", "vm")], "it is stopped")
    await until(lambda: entry(daemon).phase is HostPhase.OFF, "the ledger says so")
    assert not entry(daemon).ours


async def test_while_its_host_starts_a_job_waits_in_sight_and_takes_no_worker(build, park):
    park.settings = replace(park.settings, startup_seconds=3)
    daemon = await build(vm(park), workers=1)
    job = daemon.enqueue("true", host_name="vm")
    await until(lambda: daemon.job(job).reason_code == "host-starting", "the reason")
    row = daemon.job(job)
    assert (row.status, row.attempt, row.reason_text) == ("Waiting", 0, "host vm is being got ready")
    other = daemon.enqueue("true")
    await daemon.status(other, "Done")
    await daemon.shown(job, "StartingHost")
    await daemon.status(job, "Done")
    assert len(daemon.attempts(job)) == 1
