"""Each controller with a machine of its own behind it, and how to see the machine past the controller."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from batchd_infra.controller import Controller, ControllerUnreachable, MachineState
from batchd_infra.docker_container import DockerController, DockerSettings
from batchd_infra.ec2_instance import Ec2Controller
from batchd_infra.ec2_settings import Ec2Settings
from batchd_infra.fake_controller import FakeController, FakeSettings
from batchd_infra.hosts import Host
from batchd_infra.libvirt_domain import LibvirtController, LibvirtSettings
from batchd_infra.linode_instance import LinodeController
from batchd_infra.linode_settings import LinodeActions, LinodeSettings
from batchd_infra.local_host import LocalController
from tests import ec2_server, linode_server
from tests.container_engine import ContainerEngine
from tests.ec2_server import Ec2Server
from tests.libvirt_daemon import LibvirtDaemon, libvirt, pretended_domain, real_domain
from tests.linode_server import LinodeServer
from tests.pretend_hosts import FAST, KEY, host

NOBODY = "http://127.0.0.1:9"
RUNNING, STOPPED, PAUSED = MachineState.RUNNING, MachineState.STOPPED, MachineState.PAUSED
LISTENS_AT_ONCE = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")


@dataclass(frozen=True, kw_only=True)
class Rig:
    """`host` is `off` when a test begins. `truth` looks past the controller; `None`: there is no machine.

    `unreachable` and `missing` None: the controller asks nobody, so that it can neither be away nor miss one.
    """

    controller: Controller
    unreachable: Controller | None
    closed_to_us: Controller
    host: Host
    missing: Host | None
    truth: Callable[[], MachineState | None]
    off: MachineState | None = STOPPED
    is_address: Callable[[str | None], bool] = field(default=lambda address: address is None)
    secrets: tuple[str, ...] = ()
    pause: Callable[[], None] | None = None


Making = Callable[[Path, str], AbstractContextManager[Rig]]


@contextmanager
def fake_rig(_folder: Path, name: str) -> Iterator[Rig]:
    times = FakeSettings(startup_seconds=0.3, shutdown_seconds=0.3)
    fake = FakeController("fake", times, pace=FAST, machines=frozenset({name}))
    away = FakeController("away", pace=FAST)
    away.fail("look", *(ControllerUnreachable("host-x", "away", "nobody listens") for _ in range(1000)))
    yield Rig(
        controller=fake,
        unreachable=away,
        closed_to_us=FakeController("fake", times, enable_start_stop=False),
        host=host(name),
        missing=host("nobody"),
        truth=lambda: fake.look(host(name)),
        pause=lambda: fake.set_state(name, PAUSED),
    )


@contextmanager
def local_rig(_folder: Path, name: str) -> Iterator[Rig]:
    """A machine that nobody but people stops: a process stands for it."""
    with subprocess.Popen(["/bin/sleep", "600"]) as machine:
        try:
            yield Rig(
                controller=LocalController(),
                unreachable=None,
                closed_to_us=LocalController(),
                host=host(name),
                missing=None,
                truth=lambda: RUNNING if machine.poll() is None else STOPPED,
                off=RUNNING,
            )
        finally:
            machine.kill()


@contextmanager
def libvirt_rig(uri: str, xml: str, name: str) -> Iterator[Rig]:
    """The connection kept here also keeps the state of the test driver."""
    connection = libvirt.open(uri)
    domain = connection.defineXML(xml)
    settings = LibvirtSettings(connection_string=uri)
    controller = LibvirtController("libvirt", settings, pace=FAST)
    nobody = LibvirtSettings(connection_string="qemu+unix:///system?socket=/nonexistent/socket")
    states = {libvirt.VIR_DOMAIN_RUNNING: RUNNING, libvirt.VIR_DOMAIN_SHUTOFF: STOPPED}
    try:
        yield Rig(
            controller=controller,
            unreachable=LibvirtController("libvirt", nobody, pace=FAST),
            closed_to_us=LibvirtController("libvirt", settings, enable_start_stop=False),
            host=host(name),
            missing=host("nobody"),
            truth=lambda: states.get(domain.state()[0], PAUSED),
            pause=lambda: domain.suspend() and None,
        )
    finally:
        controller.close()
        if domain.isActive():
            domain.destroy()
        domain.undefine()
        connection.close()


def pretended_libvirt(daemon: LibvirtDaemon) -> Making:
    return lambda _folder, name: libvirt_rig(daemon.test_uri, pretended_domain(name), name)


def real_libvirt(daemon: LibvirtDaemon) -> Making:
    return lambda _folder, name: libvirt_rig(daemon.qemu_uri, real_domain(name, daemon.folder), name)


def docker_containers(engine: ContainerEngine) -> Making:
    @contextmanager
    def making(_folder: Path, name: str) -> Iterator[Rig]:
        engine.add(name, LISTENS_AT_ONCE)
        settings = DockerSettings(unix_socket=str(engine.unix_socket))

        def truth() -> MachineState:
            return {"running": RUNNING, "paused": PAUSED}.get(engine.status(name), STOPPED)

        def pause() -> None:
            with engine.client() as client:
                client.containers.get(name).pause()

        try:
            yield Rig(
                controller=DockerController("docker", settings, pace=FAST),
                unreachable=DockerController("docker", DockerSettings(base_url=NOBODY), pace=FAST),
                closed_to_us=DockerController("docker", settings, enable_start_stop=False),
                host=host(name),
                missing=host("nobody"),
                truth=truth,
                pause=pause,
            )
        finally:
            with engine.client() as client:
                client.containers.get(name).remove(force=True)

    return making


def ec2_instances(server: Ec2Server) -> Making:
    @contextmanager
    def making(_folder: Path, name: str) -> Iterator[Rig]:
        number = server.add(name)

        def settings(url: str) -> Ec2Settings:
            key, secret = SecretStr(ec2_server.KEY), SecretStr(ec2_server.SECRET)
            return Ec2Settings(region=ec2_server.REGION, access_key=key, secret_key=secret, endpoint_url=url)

        yield Rig(
            controller=Ec2Controller("ec2", settings(server.url), pace=FAST),
            unreachable=Ec2Controller("ec2", settings(NOBODY), pace=FAST),
            closed_to_us=Ec2Controller("ec2", settings(server.url), enable_start_stop=False),
            host=host(name),
            missing=host("nobody"),
            truth=lambda: {"running": RUNNING, "stopped": STOPPED}.get(server.state(number)),
            is_address=lambda address: str(address).endswith(".eu-west-1.compute.amazonaws.com"),
            secrets=(ec2_server.KEY, ec2_server.SECRET),
        )

    return making


def linodes(server: LinodeServer, actions: LinodeActions) -> Making:
    created = actions is LinodeActions.CREATE_AND_DELETE

    @contextmanager
    def making(folder: Path, name: str) -> Iterator[Rig]:
        token = folder / "token"
        token.write_text(f"{linode_server.TOKEN}\n")

        def settings(url: str) -> LinodeSettings:
            return LinodeSettings(token_file=str(token), actions=actions, api_url=url)

        def truth() -> MachineState | None:
            machines = server.labelled(name)
            states = {"running": RUNNING, "offline": STOPPED}
            return states.get(machines[0]["status"], MachineState.UNKNOWN) if machines else None

        if not created:
            server.add(name)
        wanted = {"type": "g6-nanode-1", "region": "us-east", "image": "linode/debian12"}
        machine = host(name, public_key=KEY, controller_settings=wanted if created else {})
        yield Rig(
            controller=LinodeController("linode", settings(server.api_url), pace=FAST),
            unreachable=LinodeController("linode", settings(NOBODY), pace=FAST),
            closed_to_us=LinodeController("linode", settings(server.api_url), enable_start_stop=False),
            host=machine,
            missing=host("nobody", controller_settings={}),
            truth=truth,
            off=None if created else STOPPED,
            is_address=lambda address: address == "127.0.0.1",
            secrets=(linode_server.TOKEN,),
        )

    return making
