"""A machine behind each controller, its files, and its state as the controller's own API tells it.

Where a machine cannot carry an SSH server of its own, an `sshd` of this machine answers while it runs, and
only then.
"""

from __future__ import annotations

import getpass
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests import ec2_server, linode_server
from tests.acceptance.harness import Installation
from tests.container_engine import running_engine
from tests.ec2_proxy import Answer, running_proxy
from tests.ec2_server import running_ec2
from tests.libvirt_daemon import libvirt, real_domain, running_libvirtd
from tests.linode_server import running_linode
from tests.machine_park import SshdMachine
from tests.sshd import new_key

LOOK_SECONDS = 0.1
NAMES = ("local", "docker", "libvirt", "ec2", "linode", "made")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`machine`: the sshd; None: the controller's machine has one. `known`: the name its key is known by."""

    name: str
    is_on: Callable[[], bool]
    port: int
    key: Path
    known: str | None = None
    host_key: str = ""
    machine: SshdMachine | None = None
    controller: str = ""
    host: str = ""

    def write(self, here: Installation, shutdown_timeout: str = "1 s") -> None:
        """The files of an administrator."""
        for folder in ("hosts", "controllers"):
            (here.folder / folder).mkdir(exist_ok=True)
        if self.controller:
            (here.folder / "controllers" / f"{self.name}-controller.yaml").write_text(
                f"name: {self.name}-controller\n{self.controller}"
            )
        (here.folder / "hosts" / f"{self.name}.yaml").write_text(
            f"name: {self.name}\nport: {self.port}\nprivate_key: {self.key}\nstartup_time: 0\n"
            f"shutdown_timeout: {shutdown_timeout}\n"
            + (f"controller: {self.name}-controller\n" if self.controller else "")
            + self.host
        )
        if self.known:
            with (here.state / "known_hosts").open("a") as file:
                file.write(f"[{self.known}]:{self.port} {self.host_key}\n")


def _with_sshd(name: str, folder: Path) -> tuple[Stage, SshdMachine]:
    machine = SshdMachine(folder / name)
    stage = Stage(
        name=name, is_on=lambda: machine.is_on, port=machine.port, key=machine.key, machine=machine,
        host_key=machine.host_key.with_suffix(".pub").read_text().strip(),
        host=f"user_name: {getpass.getuser()}\ninput_directory: in\noutput_directory: out\n",
    )  # fmt: skip
    return stage, machine


@contextmanager
def _answering(stage: Stage, machine: SshdMachine) -> Iterator[Stage]:
    """The sshd comes and goes with the machine."""
    over = threading.Event()

    def follow() -> None:
        while not over.wait(LOOK_SECONDS):
            (machine.boot if stage.is_on() else machine.shut_down)()

    follower = threading.Thread(target=follow, name=f"sshd of {stage.name}", daemon=True)
    follower.start()
    try:
        yield stage
    finally:
        over.set()
        follower.join(30)
        machine.shut_down()


@contextmanager
def _local(folder: Path) -> Iterator[Stage]:
    stage, machine = _with_sshd("local", folder)
    machine.boot()
    try:
        yield replace(stage, known="127.0.0.1", host=stage.host + "host_name: 127.0.0.1\n")
    finally:
        machine.shut_down()


@contextmanager
def _docker(folder: Path) -> Iterator[Stage]:
    """The container has its own sshd, whose key the controller reads from the container's files."""
    with running_engine(folder / "engine") as engine:
        key = new_key(folder / "container-key")
        box = engine.add_sshd("box", key.with_suffix(".pub").read_text())
        yield Stage(
            name="docker", is_on=lambda: engine.status("box") == "running", port=box.port, key=key,
            controller=f"driver: docker\nunix_socket: {engine.unix_socket}\n",
            host="host_name: 127.0.0.1\nuser_name: root\ncontroller_id: box\nworking_directory: /tmp\n"
            "host_key_policy: accept-new\ninput_directory: /tmp/in\noutput_directory: /tmp/out\n",
        )  # fmt: skip


@contextmanager
def _libvirt(folder: Path) -> Iterator[Stage]:
    """A guest that QEMU emulates; it is too small for anything but its power button."""
    with running_libvirtd(folder / "libvirtd") as daemon:
        connection = libvirt.open(daemon.qemu_uri)
        domain = connection.defineXML(real_domain("guest", daemon.folder))
        stage, machine = _with_sshd("libvirt", folder)
        stage = replace(
            stage, is_on=lambda: bool(domain.isActive()), known="127.0.0.1",
            controller=f'driver: libvirt\nconnection_string: "{daemon.qemu_uri}"\n',
            host=stage.host + "host_name: 127.0.0.1\ncontroller_id: guest\n",
        )  # fmt: skip
        with _answering(stage, machine):
            yield stage
        connection.close()


@contextmanager
def _ec2(folder: Path) -> Iterator[Stage]:
    """The names that this EC2 gives its instances lead nowhere: here all of them are of this machine."""

    def renamed(_action: str, answer: Answer) -> Answer:
        status, body = answer
        return status, re.sub(rb"<dnsName>ec2-[^<]*", b"<dnsName>127.0.0.1", body)

    with running_ec2(folder) as server, running_proxy(server.url) as proxy:
        proxy.change = renamed
        number = server.add("render")
        stage, machine = _with_sshd("ec2", folder)
        stage = replace(
            stage, is_on=lambda: server.state(number) == "running", known="ec2.invalid",
            controller=f"driver: awsec2\nregion: Ireland\nendpoint_url: {proxy.url}\n"
            f"credentials: {{access_key: {ec2_server.KEY}, secret_key: {ec2_server.SECRET}}}\n",
            host=stage.host + "host_name: ec2.invalid\ncontroller_id: render\n",
        )  # fmt: skip
        with _answering(stage, machine):
            yield stage


@contextmanager
def _linode(folder: Path, *, made: bool = False) -> Iterator[Stage]:
    """The API tells the address. One that is made on demand has a host key that nobody knows."""
    name = "made" if made else "linode"
    with running_linode() as server:
        stage, machine = _with_sshd(name, folder)
        token = folder / f"{name}-token"
        token.write_text(linode_server.TOKEN)
        actions = "create_and_delete" if made else "boot_and_shutdown"
        host = f"host_name: {name}.invalid\ncontroller_id: {name}\n"
        if made:
            public_key = machine.key.with_suffix(".pub").read_text()
            host += f"host_key_policy: accept-new\npublic_key: {public_key}"
            host += f"{name}-controller: {{type: g6-nanode-1, region: us-east, image: linode/debian12}}\n"
        else:
            server.add(name)
        stage = replace(
            stage, is_on=lambda: any(one["status"] == "running" for one in server.labelled(name)),
            known=None if made else f"{name}.invalid", host=stage.host + host,
            controller=f"driver: linode\ntoken_file: {token}\nactions: {actions}\n"
            f"api_url: {server.api_url}\n",
        )  # fmt: skip
        with _answering(stage, machine):
            yield stage


@contextmanager
def stages(folder: Path, *names: str) -> Iterator[dict[str, Stage]]:
    making: dict[str, Callable[[], AbstractContextManager[Stage]]] = {
        "local": lambda: _local(folder),
        "docker": lambda: _docker(folder),
        "libvirt": lambda: _libvirt(folder),
        "ec2": lambda: _ec2(folder),
        "linode": lambda: _linode(folder),
        "made": lambda: _linode(folder, made=True),
    }
    with ExitStack() as stack:
        yield {name: stack.enter_context(making[name]()) for name in names}
