"""The care for machines in memory: what nobody means any more, what does not stop, several at once."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from batchd_infra.controller import ControllerError, MachineState
from batchd_infra.controllers import Controllers
from batchd_infra.fake_controller import FakeController, FakeSettings
from batchd_infra.host_ledger import HostEntry, HostPhase, MemoryLedger, Wish
from batchd_infra.host_pool import HostPool, PoolPace
from batchd_infra.hosts import Host, Hosts
from tests.pretend_hosts import FAST

SECONDS = 30
PACE = PoolPace(try_pause_seconds=0.05, look_seconds=0.05, ready_limit_seconds=1, stop_again_seconds=0.2)
VM = Host(
    name="vm", host_name="vm", controller_id="debian", controller="virt",
    startup_time_seconds=0, shutdown_timeout_seconds=0.2,
)  # fmt: skip


class Preparations:
    """Everybody lets us in."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def reach(self, host: Host, entry: HostEntry) -> None: ...

    def prepare(self, host: Host, entry: HostEntry) -> None: ...

    def forget(self, host: Host, entry: HostEntry) -> None:
        self.forgotten.append(host.name)

    def forget_address(self, address: str) -> None:
        self.forgotten.append(address)


class CountingLedger(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.takes: Counter[str] = Counter()

    def take(self, name: str) -> bool:
        self.takes[name] += 1
        return super().take(name)


class World:
    """One ledger, and pools that come and go with other files each time."""

    def __init__(self) -> None:
        self.ledger = CountingLedger()
        self.preparations = Preparations()
        self.virt = self.controller("virt")
        self.pools: list[HostPool] = []
        self._wanted = True

    def controller(self, name: str, **more: Any) -> FakeController:
        times = FakeSettings(startup_seconds=0.05, shutdown_seconds=0.05)
        return FakeController(name, times, pace=FAST, **more)

    def pool(self, *hosts: Host, controllers: tuple[FakeController, ...] | None = None) -> HostPool:
        """Looks whenever something has changed, as the dispatcher's desk does, and now and then."""
        found = Controllers((self.virt,) if controllers is None else controllers)
        pool = HostPool(
            Hosts(hosts), found, self.ledger, self.preparations,
            changed=self._change, clock=lambda: datetime.now(UTC), pace=PACE,
        )  # fmt: skip
        self.pools.append(pool)
        return pool

    def _change(self) -> None:
        self._wanted = True

    def run_until(self, pool: HostPool, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        looked = 0.0
        while not condition():
            assert time.monotonic() < deadline, f"it never came: {what}"
            if self._wanted or time.monotonic() - looked > 0.1:
                self._wanted, looked = False, time.monotonic()
                pool.step()
            time.sleep(0.005)

    def entry(self, name: str = "vm") -> HostEntry:
        return self.ledger.entries().get(name) or HostEntry(name=name)

    def is_ready(self) -> bool:
        return self.entry().phase is HostPhase.READY

    def is_off(self) -> bool:
        return self.entry().phase is HostPhase.OFF and not self.entry().ours

    def started(self, host: Host = VM) -> None:
        """By a pool that is gone again."""
        pool = self.pool(host)
        with self.ledger.calling("vm"):
            self.run_until(pool, self.is_ready, "it is started")
        self.pools.remove(pool)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for pool in made.pools:
        pool.close()


def test_i6_a_machine_whose_host_has_no_file_any_more_is_stopped_all_the_same(world: World) -> None:
    world.started()
    pool = world.pool()
    with world.ledger.using("vm"):
        for _ in range(5):
            pool.step()
        assert world.is_ready()  # not under the job that runs there
    world.run_until(pool, world.is_off, "it is stopped")
    assert world.virt.status(VM) is MachineState.STOPPED
    assert world.entry().alarm is None


def test_i6_a_machine_is_stopped_by_the_name_it_was_started_by(world: World) -> None:
    """The file names another machine now, which is somebody else's."""
    world.started()
    world.virt.set_state("other", MachineState.RUNNING)
    moved = replace(VM, controller_id="other")
    pool = world.pool(moved)
    world.run_until(pool, world.is_off, "the old one is stopped")
    assert world.virt.status(VM) is MachineState.STOPPED
    with world.ledger.calling("vm"):
        world.run_until(pool, world.is_ready, "the new one is used")
    assert not world.entry().ours
    assert world.virt.status(moved) is MachineState.RUNNING


def test_a_controller_that_has_another_name_now_goes_on_with_its_machine(world: World) -> None:
    world.started()
    renamed = world.controller("kvm")
    renamed.set_state("debian", MachineState.RUNNING)
    pool = world.pool(replace(VM, controller="kvm"), controllers=(renamed,))
    world.run_until(pool, world.is_off, "it is stopped")
    assert renamed.asked["debian", "shut_down"] == 1


@pytest.mark.parametrize("hosts", [(), (VM,)])
def test_a_machine_whose_controller_has_no_file_any_more_is_an_alarm_that_says_what_to_do(
    world: World, caplog: pytest.LogCaptureFixture, hosts: tuple[Host, ...]
) -> None:
    world.started()
    pool = world.pool(*hosts, controllers=())
    world.run_until(pool, lambda: world.entry().alarm, "the alarm")
    for _ in range(5):
        pool.step()
    assert world.entry().alarm == (
        "Host vm: batchd has started its machine debian, and no file defines its controller virt any more. "
        "Put controllers/virt.yaml back and restart the daemon; or stop the machine yourself, and say then: "
        "batch host stop vm."
    )
    assert caplog.text.count("no file defines its controller virt") == 1
    back = world.pool(*hosts)
    world.run_until(back, world.is_off, "it is stopped when the file is back")
    assert world.entry().alarm is None


def test_a_machine_that_a_person_has_stopped_is_forgotten_when_that_is_said(world: World) -> None:
    world.started()
    pool = world.pool(controllers=())
    world.run_until(pool, lambda: world.entry().alarm, "the alarm")
    world.ledger.write("vm", lambda known: replace(known, wish=Wish.STOP))
    world.run_until(pool, lambda: not world.entry().ours, "it is not ours any more")
    assert (world.entry().alarm, world.entry().wish) == (None, None)


def test_a_controller_that_may_stop_nothing_any_more_is_an_alarm_too(world: World) -> None:
    world.started()
    closed = world.controller("virt", enable_start_stop=False)
    pool = world.pool(VM, controllers=(closed,))
    world.run_until(pool, lambda: world.entry().alarm, "the alarm")
    assert "controller virt may start and stop nothing. Allow it in controllers/virt.yaml" in str(
        world.entry().alarm
    )


def test_d10_a_stop_that_fails_is_tried_again_at_its_pace_and_not_in_between(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    world.started()
    world.virt.fail("shut_down", *(ControllerError("vm", "protected") for _ in range(3)))
    before = world.ledger.takes["vm"]
    pool = world.pool(VM)
    world.run_until(pool, world.is_off, "it is off at last")
    assert (
        caplog.text.count("A machine that should be off is not: Host vm: protected It is tried again.") == 3
    )
    assert world.ledger.takes["vm"] - before < 10  # nobody asks in a hurry meanwhile


def test_a_host_whose_stop_fails_is_ready_again_when_a_person_starts_it(world: World) -> None:
    world.started()
    world.virt.fail("shut_down", *(ControllerError("vm", "protected") for _ in range(1000)))
    pool = world.pool(VM)
    world.run_until(pool, lambda: world.entry().alarm, "the alarm")
    world.ledger.write("vm", lambda known: replace(known, wish=Wish.START, draining=False))
    world.run_until(pool, world.is_ready, "it is ready")
    assert (world.entry().alarm, world.entry().wish, world.entry().ours) == (None, None, True)


def test_hosts_start_at_the_same_time_and_one_that_never_answers_holds_up_no_other(world: World) -> None:
    slow = world.controller("virt")
    slow.settings = FakeSettings(startup_seconds=0.5, shutdown_seconds=0.05)
    never = world.controller("never")
    never.settings = FakeSettings(startup_seconds=3600)
    names = [f"vm{number}" for number in range(5)]
    hosts = [replace(VM, name=name, controller_id=name, shutdown_timeout_seconds=60) for name in names]
    stuck = replace(VM, name="stuck", controller="never")
    pool = world.pool(*hosts, stuck, controllers=(slow, never))
    for name in (*names, "stuck"):
        world.ledger.write(name, lambda known: replace(known, wish=Wish.START))
    phases: set[int] = set()

    def all_ready() -> bool:
        entries = world.ledger.entries()
        phases.add(sum(entries[name].phase is HostPhase.STARTING for name in names))
        return all(entries[name].phase is HostPhase.READY for name in names)

    world.run_until(pool, all_ready, "the five are ready")
    assert 5 in phases
    assert world.entry("stuck").phase is HostPhase.STARTING


class Deleting(FakeController):
    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        self.set_state(host.controller_id, MachineState.ABSENT)


def deleted(world: World, *hosts: Host, address: str | None = None) -> list[str]:
    """Whose keys are forgotten, where these hosts still have a file when the machine of `vm` goes."""
    world.started()
    world.ledger.write("vm", lambda known: replace(known, address=address))
    deleting = Deleting("virt", pace=FAST)
    deleting.set_state("debian", MachineState.RUNNING)
    world.run_until(world.pool(*hosts, controllers=(deleting,)), world.is_off, "it is deleted")
    return world.preparations.forgotten


def test_the_host_key_of_a_machine_that_is_no_more_is_forgotten(world: World) -> None:
    assert deleted(world, VM, address="192.0.2.7") == ["vm"]


def test_the_host_key_of_one_whose_file_is_gone_is_forgotten_by_its_address(world: World) -> None:
    assert deleted(world, address="192.0.2.7") == ["192.0.2.7"]


def test_a_host_key_at_an_address_that_another_host_has_is_kept(world: World) -> None:
    assert deleted(world, replace(VM, name="b", host_name="192.0.2.7"), address="192.0.2.7") == []


def test_the_host_key_of_a_machine_that_is_only_off_is_kept(world: World) -> None:
    world.started()
    world.run_until(world.pool(VM), world.is_off, "it is off")
    assert world.preparations.forgotten == []
