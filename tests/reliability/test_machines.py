"""A machine is on for its jobs and no longer, whatever dies meanwhile. FAULTS.md: D9, I6."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from batchd_api.db.host_tables import hosts
from batchd_api.hosting import HostPace
from batchd_infra.host_pool import PoolPace
from tests.dispatching import Daemon, until
from tests.machine_park import ParkController, machine_park
from tests.prefect_server import PrefectServer
from tests.reliability.invariants import Evidence, assert_invariants, machines_at_odds

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TIMEOUT_SECONDS = 2.0
PACE = HostPace(pool=PoolPace(try_pause_seconds=0.1, look_seconds=0.1, ready_limit_seconds=30))


class Scene:
    def __init__(self, daemon: Daemon, park: ParkController, evidence: Evidence) -> None:
        self.daemon, self.park, self.evidence = daemon, park, evidence

    async def restart(self) -> None:
        await self.daemon.stop()
        await self.daemon.start()

    async def begun(self, word: str) -> int:
        job_id = self.daemon.witness(
            between=f"while [ ! -e {self.daemon.folder / word} ]; do sleep 0.05; done", host_name="vm"
        )
        await until(lambda: self.daemon.starts(job_id), "its start")
        return job_id

    async def ended(self, job_id: int, word: str) -> None:
        (self.daemon.folder / word).touch()
        await self.daemon.status(job_id, "Done")


@pytest.fixture
async def scene(prefect_server: PrefectServer, tmp_path: Path) -> AsyncIterator[Scene]:
    with machine_park(tmp_path / "park", "vm", "other") as machines:
        park = ParkController(machines)
        files = [
            machine.host(name, controller="park", shutdown_timeout_seconds=TIMEOUT_SECONDS)
            for name, machine in machines.items()
        ]
        daemon = Daemon(
            prefect_server, tmp_path, workers=4, types=[], hosts=files, controllers=[park], host_pace=PACE
        )
        known = "".join(machine.known_line() for machine in machines.values())
        (tmp_path / "known_hosts").write_text(known)
        await daemon.start()
        evidence = Evidence(
            records=daemon,
            api_url=prefect_server.api_url,
            auth_string=prefect_server.auth_string,
            accepted=daemon.enqueued,
            place=tmp_path / "attempts",
            machines_on=lambda: [name for name, machine in machines.items() if machine.is_on],
            shutdown_timeouts=dict.fromkeys(machines, TIMEOUT_SECONDS),
        )
        try:
            yield Scene(daemon, park, evidence)
            await asyncio.to_thread(assert_invariants, evidence)
        finally:
            await daemon.close()


async def test_i6_a_machine_whose_dispatcher_died_is_stopped_by_the_next_when_its_jobs_are_over(
    scene: Scene,
) -> None:
    job_id = await scene.begun("go")
    await scene.daemon.stop()
    assert list(machines_at_odds(scene.evidence)) == []  # it is on, for a job that nobody watches
    await asyncio.sleep(TIMEOUT_SECONDS)
    await scene.daemon.start()
    await scene.ended(job_id, "go")
    await until(lambda: not scene.park.machines["vm"].is_on, "it is off")
    assert scene.park.events == [("boot", "vm"), ("stop", "vm")]
    assert scene.daemon.starts() == [job_id]


async def test_i6_a_dispatcher_that_dies_while_it_starts_or_stops_a_machine_leaves_none_on(
    scene: Scene,
) -> None:
    scene.park.settings = replace(scene.park.settings, startup_seconds=1, shutdown_seconds=1)
    job_id = scene.daemon.witness(host_name="vm")
    await until(lambda: ("boot", "vm") in scene.park.events, "it is being started")
    await scene.restart()
    await scene.daemon.status(job_id, "Done")
    await until(lambda: ("stop", "vm") in scene.park.events, "it is being stopped")
    await scene.restart()
    await until(lambda: not scene.park.machines["vm"].is_on, "it is off")
    assert scene.daemon.starts() == [job_id]


def left_on(scene: Scene, idle_seconds: float | None) -> None:
    scene.park.turn_on("other")
    idle_since = None if idle_seconds is None else scene.daemon.clock() - timedelta(seconds=idle_seconds)
    row = {"name": "other", "phase": "ready", "ours": True, "idle_since": idle_since}
    with scene.daemon.database.write() as connection:
        connection.execute(insert(hosts).values(row))


def off_with_a_job(scene: Scene) -> None:
    scene.park.machines["vm"].shut_down()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda scene: left_on(scene, None), "host other is on and has no jobs"),
        (lambda scene: left_on(scene, TIMEOUT_SECONDS + 1), "host other is on and has no jobs"),
        (off_with_a_job, "host vm has jobs and is off"),
    ],
    ids=["on-and-not-counted", "on-for-too-long", "off-with-a-job"],
)
async def test_what_breaks_i6_is_told(scene: Scene, make: Callable[[Scene], None], said: str) -> None:
    job_id = await scene.begun("go")
    await scene.daemon.stop()
    assert list(machines_at_odds(scene.evidence)) == []
    make(scene)
    assert said in "".join(machines_at_odds(scene.evidence))
    scene.park.machines["vm"].boot()
    with scene.daemon.database.write() as connection:
        connection.execute(
            update(hosts).where(hosts.c.name == "other").values(idle_since=scene.daemon.clock())
        )
    await scene.daemon.start()
    await scene.ended(job_id, "go")
