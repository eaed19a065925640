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
    Controller,
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
DRIVERS = ("local", "fake", "libvirt-test", "ec2", "linode", "linode-created", *SLOW)
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
def in_memory(making: Making, _folder: Path) -> Iterator[Making]:
    yield making


MAKINGS = {
    "local": partial(in_memory, rigs.local_rig),
    "fake": partial(in_memory, rigs.fake_rig),
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


@pytest.fixture
def powered(rig: Rig) -> Rig:
    """One whose controller starts and stops."""
    if not rig.controller.can_start_stop:
        pytest.skip("this driver starts and stops nothing")
    return rig


@pytest.fixture
def away(rig: Rig) -> Controller:
    """A controller whose API does not answer."""
    if rig.unreachable is None:
        pytest.skip("this driver asks nobody")
    return rig.unreachable


def test_when_start_returns_the_machine_runs_and_when_stop_returns_it_is_off(powered: Rig) -> None:
    for _ in range(2):
        powered.controller.start(powered.host)
        assert (powered.truth(), powered.controller.status(powered.host)) == (
            MachineState.RUNNING,
            MachineState.RUNNING,
        )
        powered.controller.stop(powered.host)
        assert powered.truth() == powered.off
        assert powered.controller.status(powered.host) == (powered.off or MachineState.ABSENT)


def test_a_start_of_what_runs_and_a_stop_of_what_is_off_do_nothing(powered: Rig) -> None:
    powered.controller.stop(powered.host)
    assert powered.truth() == powered.off
    powered.controller.start(powered.host)
    powered.controller.start(powered.host)
    assert powered.truth() is MachineState.RUNNING


def test_two_starts_at_once_are_one(powered: Rig) -> None:
    with ThreadPoolExecutor(4) as threads:
        for start in [threads.submit(powered.controller.start, powered.host) for _ in range(4)]:
            start.result(60)
    assert powered.truth() is MachineState.RUNNING


def test_d11_a_start_that_comes_during_a_stop_waits_for_it_and_starts_again(powered: Rig) -> None:
    powered.controller.start(powered.host)
    with ThreadPoolExecutor(2) as threads:
        stop = threads.submit(powered.controller.stop, powered.host)
        start = threads.submit(powered.controller.start, powered.host)
        stop.result(60), start.result(60)
    assert powered.truth() in (MachineState.RUNNING, powered.off)  # whichever came last
    powered.controller.start(powered.host)
    assert powered.truth() is MachineState.RUNNING


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
    if rig.missing is None:
        pytest.skip("this driver asks nobody whether a machine is there")
    assert rig.controller.status(rig.missing) is MachineState.ABSENT
    assert rig.controller.address(rig.missing) is None
    with pytest.raises((MachineNotFound, HostSettingsWrong), match="Host host-nobody: "):
        rig.controller.start(rig.missing)
    rig.controller.stop(rig.missing)


def test_the_address_is_known_while_the_machine_runs_or_is_the_hosts_own(rig: Rig) -> None:
    assert rig.controller.address(rig.host) is None
    if rig.controller.can_start_stop:
        rig.controller.start(rig.host)
    assert rig.is_address(rig.controller.address(rig.host))


def test_where_start_and_stop_are_switched_off_nothing_is_touched(rig: Rig) -> None:
    assert not rig.closed_to_us.can_start_stop
    assert rig.closed_to_us.status(rig.host) == (rig.off or MachineState.ABSENT)
    for act in (rig.closed_to_us.start, rig.closed_to_us.stop):
        with pytest.raises(StartStopDisabled, match=r"Host host-.* starts and stops nothing"):
            act(rig.host)
    assert rig.truth() == rig.off


def test_an_api_that_is_away_is_given_up_after_a_while_and_never_taken_for_off(
    rig: Rig, away: Controller
) -> None:
    began = time.monotonic()
    with pytest.raises(ControllerUnreachable):
        away.status(rig.host)
    for act in (away.start, away.stop):
        with pytest.raises(ControllerUnreachable, match="does not answer"):
            act(rig.host)
    assert time.monotonic() - began < 40


def test_errors_name_the_host_and_hold_no_secret(rig: Rig) -> None:
    errors: list[ControllerError] = []
    acts = [partial(rig.closed_to_us.start, rig.host), partial(rig.closed_to_us.stop, rig.host)]
    acts += [partial(rig.controller.start, rig.missing)] if rig.missing else []
    acts += [partial(rig.unreachable.start, rig.host)] if rig.unreachable else []
    for act in acts:
        with pytest.raises(ControllerError) as raised:
            act()
        errors.append(raised.value)
    for error in errors:
        assert str(error).startswith("Host host-")
        assert not [secret for secret in rig.secrets if secret in str(error)]


def test_closing_ends_what_waits_and_leaves_the_machine(rig: Rig, away: Controller) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(away.start, rig.host)
        away.close()
        with pytest.raises((ControllerClosed, ControllerUnreachable)):
            waiting.result(20)
    assert rig.truth() == rig.off
