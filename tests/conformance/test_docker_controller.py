"""Containers: the SSH host keys that the controller reads from their files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from batchd_infra.controller import MachineNotFound
from batchd_infra.docker_container import DockerController, DockerSettings
from batchd_infra.host_ledger import HostEntry
from batchd_infra.host_targets import HostConnections
from batchd_infra.hosts import HostKeyPolicy
from batchd_infra.ssh_errors import HostKeyChanged, Unreachable
from tests.container_engine import ContainerEngine, running_engine
from tests.controller_rigs import LISTENS_AT_ONCE
from tests.pretend_hosts import FAST, KEY, host
from tests.sshd import new_key
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerEngine]:
    with running_engine(tmp_path_factory.mktemp("engine") / "engine") as engine:
        yield engine


def test_the_host_key_is_read_from_the_container_and_no_other_is_believed(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "key")
    box = engine.add_sshd("box", key.with_suffix(".pub").read_text())
    controller = DockerController("d", DockerSettings(unix_socket=str(engine.unix_socket)), pace=FAST)
    machine = replace(
        host("box"), port=box.port, user_name="root", private_key=str(key),
        host_key_policy=HostKeyPolicy.ACCEPT_NEW,
    )  # fmt: skip
    controller.start(machine)
    keys = controller.host_keys(machine)
    assert keys == (box.host_key,)
    known = tmp_path / "known_hosts"
    connections = HostConnections(known)
    connection = connections.of(machine, HostEntry(name="box", host_keys=keys))

    def lets_us_in() -> bool:
        with suppress(Unreachable):
            return connection.run("echo in").stdout == b"in\n"
        return False

    wait_until(lets_us_in, 60, "its sshd answers")
    assert not known.exists()
    with pytest.raises(HostKeyChanged, match="its controller's answer"):
        connections.of(machine, HostEntry(name="box", host_keys=(KEY,))).run("true")
    connections.close()
    controller.stop(machine)


def test_a_container_without_keys_tells_none_and_one_that_is_not_there_is_said(
    engine: ContainerEngine,
) -> None:
    engine.add("plain", LISTENS_AT_ONCE)
    controller = DockerController("d", DockerSettings(unix_socket=str(engine.unix_socket)), pace=FAST)
    assert controller.host_keys(host("plain")) == ()
    with pytest.raises(MachineNotFound):
        controller.host_keys(host("nobody"))
