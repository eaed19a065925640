"""Hosts that come and go: a real `sshd` that a controller starts and stops. FAULTS: D8-D12 D14 I6.

All of it on both kinds of database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from batchd_api.db.clock import moment
from batchd_api.db.host_tables import hosts
from batchd_api.db.tables import dispatchers
from batchd_api.host_ledger import entries_in, write_entry
from batchd_api.hosting import HostPace
from batchd_api.services.hosts import HostBusy, HostStates
from batchd_api.statuses import JobStatus
from batchd_flows.job_types import COMMAND
from batchd_infra.controller import MachineState
from batchd_infra.host_ledger import HostEntry, HostPhase
from batchd_infra.host_pool import PoolPace
from batchd_infra.hosts import Host
from tests.dispatching import ROOT, Daemon, until
from tests.machine_park import ParkController, SshdMachine, machine_park
from tests.prefect_server import PrefectServer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PACE = HostPace(
    pool=PoolPace(try_pause_seconds=0.1, look_seconds=0.1, ready_limit_seconds=2, stop_again_seconds=0.3),
    copy_retry_seconds=(0.2, 0.5),
    ssh={"connect_seconds": 2, "handshake_seconds": 3, "login_seconds": 5, "answer_seconds": 5},
)
TYPES = (replace(COMMAND, name="triple", max_jobs=3), replace(COMMAND, name="brief", kill_after_seconds=1))


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
async def build(
    prefect_server: PrefectServer, tmp_path: Path, park: ParkController, database_url: str | None
) -> AsyncIterator[Build]:
    """A daemon, started, with these hosts; made again: another dispatcher of the same installation."""
    daemons: list[Daemon] = []

    async def make(*hosts: Host, workers: int = 4, start: bool = True) -> Daemon:
        folder = tmp_path / str(len(daemons))
        folder.mkdir()
        daemon = Daemon(
            prefect_server,
            folder,
            workers=workers,
            types=TYPES,
            hosts=hosts,
            controllers=[park],
            host_pace=PACE,
            database_url=database_url or f"sqlite:///{tmp_path / 'batchd.db'}",
        )
        known = "".join(machine.known_line() for machine in park.machines.values())
        (folder / "known_hosts").write_text(known)
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


async def test_d8_a_host_that_does_not_start_holds_up_no_other_and_is_no_failed_execution(build, park):
    park.refuse("boot", "no quota", "no quota", "no quota")
    daemon = await build(vm(park), vm(park, "other"))
    job = daemon.enqueue("true", host_name="vm")
    await until(lambda: daemon.job(job).reason_code == "host-failed", "the reason")
    row = daemon.job(job)
    assert (row.status, row.try_count, daemon.attempts(job)) == ("New", 0, [])
    assert "no quota" in row.reason_text
    minutes = (row.reason_until - entry(daemon).since).total_seconds() / 60
    assert 0.9 < minutes <= 1.1
    await daemon.status(daemon.enqueue("true", host_name="other"), "Done")
    await daemon.shown(job, "HostFailed")
    _let_it_be_tried(daemon)
    await daemon.status(job, "Done")
    assert entry(daemon).failures == 0


async def test_d8_ssh_that_does_not_answer_is_waited_for_up_to_a_limit(build, park, machines):
    daemon = await build(vm(park))
    park.machines = {"vm": _Deaf(machines["vm"])}
    job = daemon.enqueue("true", host_name="vm")
    await until(lambda: daemon.job(job).reason_code == "host-failed", "the reason")
    assert "Connection refused" in daemon.job(job).reason_text
    park.machines = machines
    machines["vm"].boot()
    _let_it_be_tried(daemon)
    await daemon.status(job, "Done")


async def test_d9_who_was_killed_between_start_and_stop_still_knows_its_host(build, park):
    daemon = await build(vm(park, shutdown_timeout_seconds=2))
    await daemon.status(daemon.enqueue("true", host_name="vm"), "Done")
    await daemon.stop()
    assert park.events == [("boot", "vm")]
    assert entry(daemon).ours
    await daemon.start()
    await until(lambda: ("stop", "vm") in park.events, "it is stopped")


async def test_d9_a_crash_between_the_note_and_the_start_call_forgets_nothing(build, park):
    """As a killed process leaves it: the start is written down, and nobody knows whether it was made."""
    daemon = await build(vm(park), start=False)
    with daemon.database.write() as connection:
        write_entry(connection, "vm", lambda known: replace(known, phase=HostPhase.STARTING, ours=True))
    park.turn_on("vm")
    await daemon.start()
    await until(lambda: ("stop", "vm") in park.events, "it is stopped, being ours")
    assert ("boot", "vm") not in park.events


async def test_d9_another_dispatcher_stops_what_one_that_is_gone_has_started(build, park):
    """A moved installation: the same database, another machine, and nobody says goodbye."""
    daemon = await build(
        vm(park, shutdown_timeout_seconds=60), vm(park, "other", shutdown_timeout_seconds=60)
    )
    for name in ("vm", "other"):
        await daemon.status(daemon.enqueue("true", host_name=name), "Done")
    second = await build(vm(park), start=False)  # it knows the other host by the database alone
    await second.start()
    assert entry(second).ours
    with daemon.database.read() as connection:
        carers = set(connection.execute(select(hosts.c.carer)).scalars())
    assert len(carers) == 1
    await until(lambda: entry(second).idle_since, "the first one cares for it")
    assert ("stop", "vm") not in park.events
    await daemon.stop()
    with second.database.write() as connection:
        long_ago = moment(second.clock(), timedelta(minutes=1))
        connection.execute(update(dispatchers).where(dispatchers.c.name.in_(carers)).values(seen_at=long_ago))
    await until(lambda: {("stop", "vm"), ("stop", "other")} <= set(park.events), "both are stopped")
    await until(lambda: not entry(second).ours and not entry(second, "other").ours, "the ledger says so")


async def test_i6_a_machine_whose_host_s_file_is_gone_is_stopped_when_its_job_is_over(build, park):
    daemon = await build(vm(park, shutdown_timeout_seconds=60))
    await daemon.status(daemon.enqueue("true", host_name="vm"), "Done")
    await daemon.stop()
    bare = await build()
    await until(lambda: park.events == [("boot", "vm"), ("stop", "vm")], "it is stopped")
    await until(lambda: not entry(bare).ours, "the ledger says so")
    assert HostStates(bare.ground).all() == []


async def test_several_hosts_start_at_once_and_hold_up_no_other_queue(build, park):
    park.settings = replace(park.settings, startup_seconds=3)
    daemon = await build(vm(park), vm(park, "other"), workers=1)
    slow = daemon.queue("slow", max_jobs=2)
    jobs = [daemon.enqueue("true", slow, host_name=name) for name in ("vm", "other")]
    await until(
        lambda: {entry(daemon, name).phase for name in ("vm", "other")} == {HostPhase.STARTING}, "both start"
    )
    await until(lambda: {daemon.job(job).reason_code for job in jobs} == {"host-starting"}, "the reasons")
    await daemon.status(daemon.enqueue("true"), "Done")
    assert {daemon.job(job).status for job in jobs} == {"Waiting"}
    await daemon.all_are("Done", jobs)


async def test_a_host_whose_stop_fails_can_be_started_again_and_runs_jobs(build, park):
    park.refuse("shut_down", *["the API says no"] * 1000)
    daemon = await build(vm(park))
    await daemon.status(daemon.enqueue("true", host_name="vm"), "Done")
    await until(lambda: entry(daemon).alarm, "the alarm")
    waits = daemon.enqueue("true", host_name="vm")
    await until(
        lambda: daemon.job(waits).reason_code == "host-starting", "no job on a machine that may go off"
    )
    HostStates(daemon.ground).start("vm")
    await daemon.status(waits, "Done")
    assert [event for event in park.events if event[0] == "boot"] == [("boot", "vm")]


async def test_d10_a_stop_that_fails_is_tried_again_with_an_alarm(build, park, caplog):
    park.refuse("shut_down", "the API says no", "the API says no")
    daemon = await build(vm(park))
    await daemon.status(daemon.enqueue("true", host_name="vm"), "Done")
    await until(lambda: entry(daemon).alarm, "the alarm")
    assert "the API says no" in entry(daemon).alarm
    await daemon.status(daemon.enqueue("true"), "Done")  # nobody else waits for that
    await until(lambda: entry(daemon).phase is HostPhase.OFF, "it is off at last")
    assert entry(daemon).alarm is None
    assert "A machine that should be off is not" in caplog.text


async def test_d11_a_job_that_comes_while_its_host_stops_waits_and_has_it_started_again(build, park):
    park.settings = replace(park.settings, shutdown_seconds=2)
    daemon = await build(vm(park))
    await daemon.status(daemon.enqueue("true", host_name="vm"), "Done")
    await until(lambda: entry(daemon).phase is HostPhase.STOPPING, "it is being stopped")
    job = daemon.enqueue("true", host_name="vm")
    await until(lambda: daemon.job(job).reason_code == "host-starting", "the reason")
    assert daemon.job(job).reason_text == "host vm is being stopped, and started again then"
    await daemon.status(job, "Done")
    assert park.events[:3] == [("boot", "vm"), ("stop", "vm"), ("boot", "vm")]


async def test_d12_a_host_that_was_on_before_is_not_stopped(build, park):
    park.turn_on("vm")
    park.turn_on("other")
    daemon = await build(vm(park), vm(park, "other", stop_foreign=True))
    for name in ("vm", "other"):
        await daemon.status(daemon.enqueue("true", host_name=name), "Done")
    await until(lambda: ("stop", "other") in park.events, "the one with stop_foreign is stopped")
    await until(lambda: entry(daemon).phase is HostPhase.OFF, "the other one is let go")
    assert ("stop", "vm") not in park.events
    assert park.machines["vm"].is_on


async def test_d14_two_on_the_host_and_three_of_the_type_means_two_at_once(build, park):
    daemon = await build(vm(park, max_jobs=2), workers=8)
    gate = daemon.folder / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.05; done; sleep 0.1"
    jobs = [daemon.witness(type="triple", host_name="vm", between=wait) for _ in range(6)]
    await until(lambda: len(daemon.starts()) == 2, "two run")
    gate.touch()
    await daemon.all_are("Done", jobs)
    assert daemon.most_at_once() == 2
    assert sorted(daemon.starts()) == sorted(jobs)


async def test_start_up_commands_run_in_order_with_their_variables_as_data(build, park, tmp_path):
    told = tmp_path / "told"
    here = f"echo here $name ${{port}} $greeting >> {told}"
    there = f'echo there "$greeting" "$(pwd)" >> {told}'
    host = vm(
        park,
        variables={"greeting": "$(echo hello); `id`"},
        startup_commands_on_dispatcher=(here,),
        startup_commands_on_host=(there,),
    )
    daemon = await build(host)
    await daemon.status(daemon.enqueue(f"echo job >> {told}", host_name="vm"), "Done")
    assert told.read_text().splitlines() == [
        f"here vm {host.port} $(echo hello); `id`",
        f"there $(echo hello); `id` {park.machines['vm'].home}",
        "job",
    ]


@pytest.mark.parametrize("where", ["dispatcher", "host"])
async def test_a_failing_start_up_command_fails_the_job_and_says_all(build, park, where):
    commands = {f"startup_commands_on_{where}": ("echo first", "echo no disk; echo bad >&2; exit 7")}
    daemon = await build(vm(park, **commands))
    job = daemon.enqueue("true", host_name="vm")
    row = await daemon.status(job, "Failed")
    place = "the dispatcher" if where == "dispatcher" else "host vm"
    command = "echo no disk; echo bad >&2; exit 7"
    assert row.reason_text == f'start-up command "{command}" on {place} failed: exit code 7.'
    assert b"no disk\nbad\n" in daemon.output(job)
    await until(lambda: ("stop", "vm") in park.events, "its host is stopped all the same")


async def test_a_host_that_has_gone_off_meanwhile_is_started_again_for_the_next_job(build, park, machines):
    daemon = await build(vm(park, shutdown_timeout_seconds=60))
    await daemon.status(daemon.enqueue("true", host_name="vm"), "Done")
    machines["vm"].shut_down()
    park.set_state("vm", MachineState.STOPPED)
    job = daemon.enqueue("true", host_name="vm")
    await daemon.status(job, "Done")
    assert [what for what, _ in park.events] == ["boot", "boot"]
    assert len(daemon.attempts(job)) == 1


async def test_what_waits_for_its_host_can_be_cancelled_and_postponed(build, park):
    park.settings = replace(park.settings, startup_seconds=60)
    daemon = await build(vm(park))
    one, two = (daemon.enqueue("true", host_name="vm") for _ in range(2))
    await until(lambda: all(daemon.job(n).status == "Waiting" for n in (one, two)), "they are called")
    for job in (one, two):
        await daemon.shown(job, "StartingHost")
    daemon.jobs.cancel(ROOT, one)
    daemon.change(two, status=JobStatus.POSTPONED)
    assert (daemon.job(one).status, daemon.job(two).status) == ("Failed", "Postponed")
    await daemon.shown(one, "CANCELLED")
    await daemon.shown(two, "PAUSED")


async def test_people_start_drain_resume_stop_and_test_a_host(build, park):
    daemon = await build(vm(park, shutdown_timeout_seconds=300))
    care = HostStates(daemon.ground)
    care.start("vm")
    await until(lambda: care.get("vm")["state"] == "ready", "it is started without a job")
    assert care.get("vm")["started_by_us"]
    care.drain("vm")
    job = daemon.enqueue("true", host_name="vm")
    await until(lambda: daemon.job(job).reason_code == "host-full", "it takes no new jobs")
    assert care.get("vm")["state"] == "draining"
    care.resume("vm")
    await daemon.status(job, "Done")
    tested = await care.test(ROOT, "vm")
    assert [step["step"] for step in tested["steps"]] == [
        "machine", "key", "address", "login", "folders", "command"
    ]  # fmt: skip
    assert tested["ok"]
    care.stop("vm")
    await until(lambda: park.events[-1] == ("stop", "vm"), "it is stopped")
    await until(lambda: entry(daemon).phase is HostPhase.OFF, "and stays so")
    assert not (await care.test(ROOT, "vm"))["ok"]
    later = daemon.enqueue("true", host_name="vm")
    await until(lambda: daemon.job(later).reason_code == "host-full", "no job wakes it")
    care.start("vm")
    await daemon.status(later, "Done")


async def test_a_host_with_jobs_is_not_stopped_by_hand(build, park):
    daemon = await build(vm(park))
    job = daemon.enqueue("sleep 600", host_name="vm", type="brief")
    await daemon.status(job, "Processing")
    with pytest.raises(HostBusy, match="runs 1 jobs"):
        HostStates(daemon.ground).stop("vm")
    daemon.jobs.cancel(ROOT, job)
    await daemon.status(job, "Failed")


def _let_it_be_tried(daemon: Daemon) -> None:
    """As time does."""
    with daemon.database.write() as connection:
        write_entry(connection, "vm", lambda known: replace(known, next_try=daemon.clock()))
    daemon.wake()


class _Deaf:
    """A machine that runs, and where no sshd does."""

    def __init__(self, machine: SshdMachine) -> None:
        self.machine = machine

    def boot(self) -> None:
        pass

    def shut_down(self) -> None:
        self.machine.shut_down()
