"""One suite for every driver: what the contract of controllers promises, seen on the machines themselves."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from batchd_infra.controller import (
    ControllerClosed,
    ControllerError,
    ControllerUnreachable,
    HostSettingsWrong,
    MachineNotFound,
    MachineState,
    StartStopDisabled,
)
from batchd_infra.linode_settings import LinodeActions
from tests import controller_rigs as rigs
from tests.container_engine import running_engine
from tests.controller_rigs import Making, Rig
from tests.ec2_server import running_ec2
from tests.libvirt_daemon import running_libvirtd
from tests.linode_server import running_linode

SLOW = ("docker", "libvirt-qemu")
DRIVERS = ("fake", "libvirt-test", "ec2", "linode", "linode-created", *SLOW)
NUMBERS = itertools.count(1)


@contextmanager
def linode_making(actions: LinodeActions, _folder: Path) -> Iterator[Making]:
    with running_linode() as server:
        yield rigs.linodes(server, actions)


@contextmanager
def made_by(
    running: Callable[[Path], object], making: Callable[[object], Making], folder: Path
) -> Iterator[Making]:
    with running(folder) as server:  # type: ignore[attr-defined]
        yield making(server)


@contextmanager
def fake_making(_folder: Path) -> Iterator[Making]:
    yield rigs.fake_rig


MAKINGS = {
    "fake": fake_making,
    "libvirt-test": partial(made_by, running_libvirtd, rigs.pretended_libvirt),
    "libvirt-qemu": partial(made_by, running_libvirtd, rigs.real_libvirt),
    "docker": partial(made_by, running_engine, rigs.docker_containers),
    "ec2": partial(made_by, running_ec2, rigs.ec2_instances),
    "linode": partial(linode_making, LinodeActions.BOOT_AND_SHUTDOWN),
    "linode-created": partial(linode_making, LinodeActions.CREATE_AND_DELETE),
}


@pytest.fixture(
    scope="module", params=[pytest.param(d, marks=pytest.mark.slow if d in SLOW else ()) for d in DRIVERS]
)
def making(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Making]:
    with MAKINGS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def rig(making: Making, tmp_path: Path) -> Iterator[Rig]:
    with making(tmp_path, f"machine-{next(NUMBERS)}") as made:
        yield made


def test_when_start_returns_the_machine_runs_and_when_stop_returns_it_is_off(rig: Rig) -> None:
    for _ in range(2):
        rig.controller.start(rig.host)
        assert (rig.truth(), rig.controller.status(rig.host)) == (MachineState.RUNNING, MachineState.RUNNING)
        rig.controller.stop(rig.host)
        assert rig.truth() == rig.off
        assert rig.controller.status(rig.host) == (rig.off or MachineState.ABSENT)


def test_a_start_of_what_runs_and_a_stop_of_what_is_off_do_nothing(rig: Rig) -> None:
    rig.controller.stop(rig.host)
    assert rig.truth() == rig.off
    rig.controller.start(rig.host)
    rig.controller.start(rig.host)
    assert rig.truth() is MachineState.RUNNING


def test_two_starts_at_once_are_one(rig: Rig) -> None:
    with ThreadPoolExecutor(4) as threads:
        for start in [threads.submit(rig.controller.start, rig.host) for _ in range(4)]:
            start.result(60)
    assert rig.truth() is MachineState.RUNNING


def test_d11_a_start_that_comes_during_a_stop_waits_for_it_and_starts_again(rig: Rig) -> None:
    rig.controller.start(rig.host)
    with ThreadPoolExecutor(2) as threads:
        stop = threads.submit(rig.controller.stop, rig.host)
        start = threads.submit(rig.controller.start, rig.host)
        stop.result(60), start.result(60)
    assert rig.truth() in (MachineState.RUNNING, rig.off)  # whichever came last
    rig.controller.start(rig.host)
    assert rig.truth() is MachineState.RUNNING


def test_what_is_paused_goes_on_at_a_start_and_ends_at_a_stop(rig: Rig) -> None:
    if rig.pause is None:
        pytest.skip("machines of this driver are never paused")
    for act, wanted in ((rig.controller.start, MachineState.RUNNING), (rig.controller.stop, rig.off)):
        rig.controller.start(rig.host)
        rig.pause()
        assert rig.controller.status(rig.host) is MachineState.PAUSED
        act(rig.host)
        assert rig.truth() == wanted


def test_a_machine_that_is_not_there_is_absent_and_does_not_start(rig: Rig) -> None:
    assert rig.controller.status(rig.missing) is MachineState.ABSENT
    assert rig.controller.address(rig.missing) is None
    with pytest.raises((MachineNotFound, HostSettingsWrong), match="Host host-nobody: "):
        rig.controller.start(rig.missing)
    rig.controller.stop(rig.missing)


def test_the_address_is_known_while_the_machine_runs_or_is_the_hosts_own(rig: Rig) -> None:
    assert rig.controller.address(rig.host) is None
    rig.controller.start(rig.host)
    assert rig.is_address(rig.controller.address(rig.host))


def test_where_start_and_stop_are_switched_off_nothing_is_touched(rig: Rig) -> None:
    assert not rig.closed_to_us.can_start_stop
    for act in (rig.closed_to_us.start, rig.closed_to_us.stop):
        with pytest.raises(StartStopDisabled, match=r"Host host-.* starts and stops nothing"):
            act(rig.host)
    assert rig.truth() == rig.off


def test_an_api_that_is_away_is_given_up_after_a_while_and_never_taken_for_off(rig: Rig) -> None:
    began = time.monotonic()
    with pytest.raises(ControllerUnreachable):
        rig.unreachable.status(rig.host)
    for act in (rig.unreachable.start, rig.unreachable.stop):
        with pytest.raises(ControllerUnreachable, match="does not answer"):
            act(rig.host)
    assert time.monotonic() - began < 40


def test_errors_name_the_host_and_hold_no_secret(rig: Rig) -> None:
    errors: list[ControllerError] = []
    for act in (partial(rig.controller.start, rig.missing), partial(rig.unreachable.start, rig.host)):
        with pytest.raises(ControllerError) as raised:
            act()
        errors.append(raised.value)
    for error in errors:
        assert str(error).startswith("Host host-")
        assert not [secret for secret in rig.secrets if secret in str(error)]


def test_closing_ends_what_waits_and_leaves_the_machine(rig: Rig) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(rig.unreachable.start, rig.host)
        rig.unreachable.close()
        with pytest.raises((ControllerClosed, ControllerUnreachable)):
            waiting.result(20)
    assert rig.truth() == rig.off
