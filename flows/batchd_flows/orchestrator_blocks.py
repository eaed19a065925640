"""Controllers as Prefect blocks: in the UI with their fields, and in people's flows.

    libvirt = await LibvirtDomains.aload("libvirt")
    await libvirt.start("debian12")

The files `controllers/*.yaml` stay the source of truth: the daemon writes these blocks at each start. The
order of a block's fields is part of its identity: add at the end only, and never rename a slug.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from prefect.blocks.core import Block
from prefect.client.schemas.objects import BlockDocument
from pydantic import Field, SecretStr

from batchd_flows.names import slug
from batchd_flows.orchestrator import PAGE, Orchestrator
from batchd_flows.orchestrator_client import translated
from batchd_flows.orchestrator_records import OrchestratorRefused
from batchd_infra.addresses import AddressKind
from batchd_infra.controller import LIMIT_SECONDS, Controller, MachineState
from batchd_infra.docker_container import DEFAULT_URL, DockerController, DockerSettings
from batchd_infra.ec2_instance import Ec2Controller
from batchd_infra.ec2_settings import Ec2Settings
from batchd_infra.hosts import Host
from batchd_infra.libvirt_domain import DEFAULT_CONNECTION, LibvirtController, LibvirtSettings
from batchd_infra.linode_instance import LinodeController
from batchd_infra.linode_settings import DEFAULT_API, LinodeActions, LinodeSettings

NOT_FOUND = 404


class HostController(Block, ABC):
    """Starts and stops machines. Calls take a host's record, or just the name that its API knows."""

    _block_schema_capabilities: ClassVar[list[str]] = ["start-and-stop-machines"]

    controller_name: str = Field(default="", description="The name in controllers/NAME.yaml.")
    written_by: str = Field(
        default="",
        description="The batchd that wrote this block from its file, and will do so again at its next start;"
        " edit the file instead. Empty: a block of your own.",
    )
    enable_start_stop: bool = Field(
        default=True, description="False: starting and stopping is left to people."
    )

    @abstractmethod
    def controller(self) -> Controller:
        """What does the work; its calls block."""

    async def start(self, machine: Host | str, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Return when it really runs. Raises ControllerError, with a sentence."""
        await asyncio.to_thread(self.controller().start, self._host(machine), limit_seconds=limit_seconds)

    async def stop(self, machine: Host | str, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Return when it is really off. Raises ControllerError, with a sentence."""
        await asyncio.to_thread(self.controller().stop, self._host(machine), limit_seconds=limit_seconds)

    async def status(self, machine: Host | str) -> MachineState:
        return await asyncio.to_thread(self.controller().status, self._host(machine))

    async def address(self, machine: Host | str) -> str | None:
        """Where it is reached now; None: its API does not know."""
        return await asyncio.to_thread(self.controller().address, self._host(machine))

    def _host(self, machine: Host | str) -> Host:
        if isinstance(machine, Host):
            return machine
        return Host(name=machine, host_name=machine, controller_id=machine, controller=self.controller_name)


class LibvirtDomains(HostController):
    """Domains of a hypervisor, by name or UUID (controllers/*.yaml with `driver: libvirt`)."""

    _block_type_name: ClassVar[str] = "batchd: libvirt domains"
    _block_type_slug: ClassVar[str] = "batchd-libvirt"

    connection_string: str = Field(default=DEFAULT_CONNECTION, description="A libvirt URI.")

    def controller(self) -> LibvirtController:
        settings = LibvirtSettings(connection_string=self.connection_string)
        return LibvirtController(self.controller_name, settings, enable_start_stop=self.enable_start_stop)


class DockerContainers(HostController):
    """Containers of Docker or Podman, by name or id (controllers/*.yaml with `driver: docker`)."""

    _block_type_name: ClassVar[str] = "batchd: Docker containers"
    _block_type_slug: ClassVar[str] = "batchd-docker"

    unix_socket: str | None = Field(default=None, description="Counts where a base_url is given too.")
    base_url: str = Field(default=DEFAULT_URL, description="Of the Docker API.")

    def controller(self) -> DockerController:
        settings = DockerSettings(unix_socket=self.unix_socket, base_url=self.base_url)
        return DockerController(self.controller_name, settings, enable_start_stop=self.enable_start_stop)


class Ec2Instances(HostController):
    """EC2 instances, by Name tag or id (controllers/*.yaml with `driver: awsec2`)."""

    _block_type_name: ClassVar[str] = "batchd: EC2 instances"
    _block_type_slug: ClassVar[str] = "batchd-ec2"

    region: str | None = Field(default=None, description="A code such as eu-central-1; empty: discovered.")
    fips: bool = Field(default=False, description="Use the FIPS endpoints of the region.")
    credentials_path: str | None = Field(default=None, description="A credentials file.")
    profile: str | None = Field(default=None, description="A profile in it.")
    access_key: SecretStr | None = Field(default=None, description="Without keys they are discovered.")
    secret_key: SecretStr | None = Field(default=None)
    address_kind: AddressKind = Field(default=AddressKind.PUBLIC, description="Which address is used.")
    endpoint_url: str | None = Field(default=None, description="Empty: that of AWS.")

    def controller(self) -> Ec2Controller:
        settings = Ec2Settings(
            region=self.region,
            fips=self.fips,
            credentials_path=self.credentials_path,
            profile=self.profile,
            access_key=self.access_key,
            secret_key=self.secret_key,
            address=self.address_kind,
            endpoint_url=self.endpoint_url,
        )
        return Ec2Controller(self.controller_name, settings, enable_start_stop=self.enable_start_stop)


class LinodeInstances(HostController):
    """Linodes, by label (controllers/*.yaml with `driver: linode`). The token is read where it is used."""

    _block_type_name: ClassVar[str] = "batchd: Linodes"
    _block_type_slug: ClassVar[str] = "batchd-linode"

    token_file: str = Field(default=..., description="A file with the API token, where the flow runs.")
    actions: LinodeActions = Field(
        default=LinodeActions.BOOT_AND_SHUTDOWN, description="Whether Linodes stay while they are off."
    )
    address_kind: AddressKind = Field(default=AddressKind.PUBLIC, description="Which address is used.")
    api_url: str = Field(default=DEFAULT_API, description="Of the Linode API.")

    def controller(self) -> LinodeController:
        settings = LinodeSettings(
            token_file=self.token_file,
            actions=self.actions,
            address=self.address_kind,
            api_url=self.api_url,
        )
        return LinodeController(self.controller_name, settings, enable_start_stop=self.enable_start_stop)


BLOCKS: tuple[type[HostController], ...] = (LibvirtDomains, DockerContainers, Ec2Instances, LinodeInstances)


@dataclass(frozen=True, kw_only=True)
class BlockChanges:
    """Names of controllers. `rewritten`: the block was not as the file says."""

    created: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def block_of(controller: Controller, written_by: str) -> HostController | None:
    """None: the driver has no block (`local`, `fake`)."""
    common: dict[str, Any] = {
        "controller_name": controller.name,
        "written_by": written_by,
        "enable_start_stop": controller.can_start_stop,
    }
    match controller:
        case LibvirtController(settings=of):
            return LibvirtDomains(**common, connection_string=of.connection_string)
        case DockerController(settings=of):
            return DockerContainers(**common, unix_socket=of.unix_socket, base_url=of.base_url)
        case Ec2Controller(settings=of):
            return Ec2Instances(
                **common,
                region=of.region,
                fips=of.fips,
                credentials_path=of.credentials_path,
                profile=of.profile,
                access_key=of.access_key,
                secret_key=of.secret_key,
                address_kind=of.address,
                endpoint_url=of.endpoint_url,
            )
        case LinodeController(settings=of):
            return LinodeInstances(
                **common,
                token_file=of.token_file,
                actions=of.actions,
                address_kind=of.address,
                api_url=of.api_url,
            )
    return None


async def write_blocks(
    orchestrator: Orchestrator, controllers: Iterable[Controller], written_by: str
) -> BlockChanges:
    """Have a block for each controller, as its file says; those that we wrote for files now gone are deleted.

    Written only where something differs. Raises OrchestratorUnavailable, OrchestratorRefused.
    """
    wanted = {(b.get_block_type_slug(), slug(b.controller_name)): b for b in _blocks(controllers, written_by)}
    there = {
        (kind.get_block_type_slug(), str(document.name)): document
        for kind in BLOCKS
        for document in await _documents(orchestrator, kind)
    }
    created: list[str] = []
    rewritten: list[str] = []
    deleted: list[str] = []
    for key, block in wanted.items():
        document = there.get(key)
        if document is None or document.data != _data(block):
            async with orchestrator.writing():
                await block.asave(key[1], overwrite=True, client=orchestrator.client)
            (created if document is None else rewritten).append(block.controller_name)
    for key, document in there.items():
        if key not in wanted and document.data.get("written_by") == written_by:
            async with orchestrator.writing():
                await orchestrator.client.delete_block_document(document.id)
            deleted.append(str(document.data.get("controller_name") or key[1]))
    return BlockChanges(created=tuple(created), rewritten=tuple(rewritten), deleted=tuple(deleted))


def _blocks(controllers: Iterable[Controller], written_by: str) -> list[HostController]:
    made = (block_of(controller, written_by) for controller in controllers)
    return [block for block in made if block is not None]


def _data(block: HostController) -> dict[str, Any]:
    """As the server keeps it."""
    fields = set(type(block).model_fields)
    return block.model_dump(mode="json", include=fields, context={"include_secrets": True})


async def _documents(orchestrator: Orchestrator, kind: type[HostController]) -> list[BlockDocument]:
    try:
        with translated():
            return await orchestrator.client.read_block_documents_by_type(
                kind.get_block_type_slug(), limit=PAGE, include_secrets=True
            )
    except OrchestratorRefused as refusal:
        if refusal.status == NOT_FOUND:  # nobody has had such a block yet
            return []
        raise
