"""`batch host test`: each step, where it goes well and where it does not, against a real `sshd`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchd_flows.host_check import Step, check_host
from batchd_infra.controller import Controller, ControllerUnreachable, MachineState
from batchd_infra.fake_controller import FakeController
from batchd_infra.host_ledger import HostEntry
from batchd_infra.hosts import Host
from batchd_infra.local_host import LocalController
from tests.machine_park import SshdMachine, machine_park
from tests.prefect_server import free_port
from tests.sshd import new_key

ALL = ["machine", "key", "address", "login", "folders", "command"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdMachine]:
    with machine_park(tmp_path_factory.mktemp("park"), "box") as machines:
        machines["box"].boot()
        yield machines["box"]


@pytest.fixture
def known(machine: SshdMachine, tmp_path: Path) -> Path:
    file = tmp_path / "known_hosts"
    file.write_text(machine.known_line())
    return file


def check(host: Host, known: Path | None, controller: Controller | None = None) -> list[Step]:
    steps: list[Step] = []
    check_host(host, HostEntry(name=host.name), controller or LocalController(), known, steps.append)
    return steps


def fails_at(step: str, steps: list[Step]) -> str:
    """The last step is this one, and the first that is not well; what it says."""
    assert [one.step for one in steps] == ALL[: ALL.index(step) + 1]
    assert [one.ok for one in steps] == [True] * ALL.index(step) + [False]
    return steps[-1].text


def test_a_host_that_is_well_passes_every_step(machine: SshdMachine, known: Path) -> None:
    steps = check(machine.host("box", input_directory="in", output_directory="out"), known)
    assert [(one.step, one.ok) for one in steps] == [(name, True) for name in ALL]
    found = {one.step: one.text for one in steps}
    assert found["machine"] == "controller local: running"
    assert found["key"] == str(machine.key)
    assert found["address"] == f"127.0.0.1 port {machine.port} answers"
    assert found["folders"] == f"{machine.home}/in, {machine.home}/out"
    assert found["command"] == " ".join((os.uname().sysname, os.uname().nodename, os.uname().machine))
    assert not list((machine.home / "in").iterdir())


@pytest.mark.parametrize("state", [MachineState.STOPPED, MachineState.ABSENT, MachineState.PAUSED])
def test_machine_that_does_not_run(machine: SshdMachine, known: Path, state: MachineState) -> None:
    controller = FakeController("virt")
    controller.set_state("box", state)
    said = fails_at("machine", check(machine.host("box", controller="virt"), known, controller))
    assert said == f"controller virt: {state}; start it first: batch host start box"


def test_machine_whose_controller_does_not_answer(machine: SshdMachine, known: Path) -> None:
    controller = FakeController("virt")
    controller.fail("look", ControllerUnreachable("box", "virt", "refused"))
    said = fails_at("machine", check(machine.host("box", controller="virt"), known, controller))
    assert "controller virt does not answer: refused.; see the controller's file" in said


def test_key_that_is_not_there(machine: SshdMachine, known: Path) -> None:
    said = fails_at("key", check(machine.host("box", private_key="/nowhere/key"), known))
    assert said == "/nowhere/key is not there; set private_key, or make one with ssh-keygen"


def test_address_where_nobody_is(machine: SshdMachine, known: Path) -> None:
    said = fails_at("address", check(machine.host("box", port=free_port()), known))
    assert "Connection refused; see host_name and port, and whether sshd runs there" in said
    said = fails_at("address", check(machine.host("box", host_name="nobody.invalid"), known))
    assert said.startswith(f"nobody.invalid port {machine.port}: ")


def test_login_with_a_host_key_that_nobody_has_trusted(machine: SshdMachine, tmp_path: Path) -> None:
    said = fails_at("login", check(machine.host("box"), tmp_path / "none"))
    assert "batchd-admin trust-host box" in said


def test_login_with_a_key_that_the_machine_does_not_take(
    machine: SshdMachine, known: Path, tmp_path: Path
) -> None:
    said = fails_at("login", check(machine.host("box", private_key=str(new_key(tmp_path / "other"))), known))
    assert "refused" in said


def test_folders_that_cannot_be_written(machine: SshdMachine, known: Path) -> None:
    for name in ("input_directory", "output_directory"):
        wrong: dict[str, Any] = {name: "/proc/nowhere"}
        said = fails_at("folders", check(replace(machine.host("box"), **wrong), known))
        assert said.startswith("/proc/nowhere cannot be written: ")


def test_command_of_a_login_whose_shell_does_nothing(
    machine: SshdMachine, known: Path, request: pytest.FixtureRequest
) -> None:
    login = machine.folder / "login"
    before = login.read_text()
    request.addfinalizer(lambda: login.write_text(before) and None)
    login.write_text("#!/bin/sh\necho This account is closed.\nexit 1\n")
    said = fails_at("login", check(machine.host("box"), known))
    assert said == "the login shell does not do what it is asked: exit code 1"
    login.write_text(
        before.replace(
            "exec /bin/sh -c", "case $SSH_ORIGINAL_COMMAND in *uname*) exit 3;; esac; exec /bin/sh -c"
        )
    )
    said = fails_at("command", check(machine.host("box"), known))
    assert said.startswith("uname ended with exit code 3")
