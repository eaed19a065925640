"""The driver `docker`: containers, through the Docker API (of Docker, or of Podman)."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from batchd_infra.config_files import Fields
from batchd_infra.controller import (
    ActionRefused,
    ControllerUnreachable,
    MachineBusy,
    MachineNotFound,
    MachineState,
    MalformedAnswer,
)
from batchd_infra.hosts import Host
from batchd_infra.power import Pace, PoweredController

DEFAULT_URL = "http://127.0.0.1:2375"
ANSWER_SECONDS = 60  # longer than the ten seconds after which an engine kills what does not stop
SERVER_ERROR = 500
CONFLICT = 409
KEY_FILES = tuple(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ed25519", "ecdsa", "rsa"))
MAX_KEY_BYTES = 16 * 1024
_STATES = MappingProxyType(
    {
        "running": MachineState.RUNNING,
        "created": MachineState.STOPPED,
        "configured": MachineState.STOPPED,
        "initialized": MachineState.STOPPED,
        "exited": MachineState.STOPPED,
        "stopped": MachineState.STOPPED,
        "dead": MachineState.STOPPED,
        "restarting": MachineState.STARTING,
        "removing": MachineState.STOPPING,
        "stopping": MachineState.STOPPING,
        "paused": MachineState.PAUSED,
    }
)


@dataclass(frozen=True, kw_only=True)
class DockerSettings:
    """`unix_socket` counts where both are given."""

    unix_socket: str | None = None
    base_url: str = DEFAULT_URL

    @property
    def url(self) -> str:
        return f"unix://{self.unix_socket}" if self.unix_socket else self.base_url


def read_docker_settings(fields: Fields) -> DockerSettings:
    unix_socket, base_url = fields.text("unix_socket"), fields.text("base_url")
    if unix_socket and base_url:
        fields.warn("base_url", "has no effect beside unix_socket")
    return DockerSettings(unix_socket=unix_socket, base_url=base_url or DEFAULT_URL)


class DockerController(PoweredController):
    """A host's `controller_id` is the container's name or id."""

    def __init__(
        self,
        name: str,
        settings: DockerSettings,
        *,
        enable_start_stop: bool = True,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(name, enable_start_stop=enable_start_stop, pace=pace)
        self.settings = settings
        self._api_version = "auto"  # asking for it takes an engine longer than the rest

    def look(self, host: Host) -> MachineState:
        try:
            with self._container(host, "look at") as container:
                return _STATES.get(container.status, MachineState.UNKNOWN)
        except MachineNotFound:
            return MachineState.ABSENT

    def boot(self, host: Host, state: MachineState) -> None:
        with self._container(host, "start") as container:
            if state is MachineState.PAUSED:
                container.unpause()
            else:
                container.start()

    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        with suppress(MachineNotFound), self._container(host, "stop") as container:
            if insist:
                container.kill()
                return
            if state is MachineState.PAUSED:  # it could not hear that it shall end
                container.unpause()
            container.stop()

    def host_keys(self, host: Host) -> tuple[str, ...]:
        """Read from the container's file system, which nobody stands in front of."""
        with self._container(host, "read") as container:
            return tuple(key for file in KEY_FILES if (key := _read_key(container, file)))

    @contextmanager
    def _container(self, host: Host, action: str) -> Iterator[Container]:
        with self._translated(host, action):
            engine = docker.DockerClient(
                base_url=self.settings.url, version=self._api_version, timeout=ANSWER_SECONDS
            )
            try:
                self._api_version = engine.api.api_version
                yield engine.containers.get(host.controller_id)
            finally:
                engine.close()

    @contextmanager
    def _translated(self, host: Host, action: str) -> Iterator[None]:
        try:
            yield
        except NotFound as error:
            raise MachineNotFound(host.name, self.name, host.controller_id) from error
        except APIError as error:
            self._api_version = "auto"  # it may be another engine than before
            why = str(error.explanation or error)
            if error.status_code == CONFLICT:
                raise MachineBusy(host.name, why) from error
            if action == "look at":
                raise ControllerUnreachable(host.name, self.name, why) from error
            raise ActionRefused(host.name, self.name, action, why) from error
        except (requests.RequestException, DockerException, OSError) as error:
            raise ControllerUnreachable(host.name, self.name, str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedAnswer(host.name, self.name, f"{type(error).__name__}: {error}") from error


def _read_key(container: Container, file: str) -> str | None:
    try:
        chunks, _ = container.get_archive(file)
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isfile() else None
        line = content.read(MAX_KEY_BYTES).decode("ascii", "replace").strip() if content else ""
    return " ".join(line.split()[:2]) or None
