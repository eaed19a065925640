"""The driver `libvirt`: domains of a hypervisor. Its library is an optional extra."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from batchd_infra.config_files import Fields
from batchd_infra.controller import (
    ActionRefused,
    ControllerUnreachable,
    CredentialsRefused,
    DriverNotInstalled,
    MachineBusy,
    MachineNotFound,
    MachineState,
)
from batchd_infra.hosts import Host
from batchd_infra.power import Pace, PoweredController

try:
    import libvirt
except ImportError:  # said when a controller of this driver is used, and when its file is read
    libvirt = None

DEFAULT_CONNECTION = "qemu:///system"
ADVICE = "the driver libvirt needs `pip install 'batchd[libvirt]'` (and libvirt-dev to build it)"
KEEPALIVE_SECONDS = 5
KEEPALIVE_COUNT = 3  # a daemon that hangs is given up after 15 s to 20 s


@dataclass(frozen=True, kw_only=True)
class LibvirtSettings:
    connection_string: str = DEFAULT_CONNECTION


def read_libvirt_settings(fields: Fields) -> LibvirtSettings:
    if libvirt is None:
        fields.warn("driver", ADVICE)
    return LibvirtSettings(connection_string=fields.text("connection_string") or DEFAULT_CONNECTION)


class LibvirtController(PoweredController):
    """A host's `controller_id` is the domain's name or UUID. One connection, made again when it is lost."""

    def __init__(
        self,
        name: str,
        settings: LibvirtSettings,
        *,
        enable_start_stop: bool = True,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(name, enable_start_stop=enable_start_stop, pace=pace)
        self.settings = settings
        self._connection: Any = None
        self._connecting = threading.Lock()

    def look(self, host: Host) -> MachineState:
        with self._domain(host, "look at") as domain:
            return MachineState.ABSENT if domain is None else _state(domain)

    def boot(self, host: Host, state: MachineState) -> None:
        with self._domain(host, "start") as domain:
            if domain is None:
                raise MachineNotFound(host.name, self.name, host.controller_id)
            number = domain.state()[0]
            if number == libvirt.VIR_DOMAIN_CRASHED:
                domain.destroy()
                domain.create()
            elif number == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
            elif number == libvirt.VIR_DOMAIN_PMSUSPENDED:
                domain.pMWakeup()
            elif not domain.isActive():
                domain.create()

    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        """A guest that is still starting does not hear it, so that it is repeated."""
        with self._domain(host, "stop") as domain:
            if domain is None:
                return
            number = domain.state()[0]
            if insist or number == libvirt.VIR_DOMAIN_CRASHED:
                domain.destroy()
                return
            if number == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
            elif number == libvirt.VIR_DOMAIN_PMSUSPENDED:
                domain.pMWakeup()
            domain.shutdown()

    def close(self) -> None:
        super().close()
        with self._connecting:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(libvirt.libvirtError):
                connection.close()

    @contextmanager
    def _domain(self, host: Host, action: str) -> Iterator[Any]:
        """The domain, or None where there is none. Errors are translated."""
        if libvirt is None:
            raise DriverNotInstalled(host.name, self.name, ADVICE)
        connection = None
        try:
            connection = self._connected()
            yield _find(connection, host.controller_id)
        except libvirt.libvirtError as error:
            if connection is not None and _alive(connection):
                raise self._refusal(host, action, error) from error
            self._forget(connection)
            if error.get_error_code() == libvirt.VIR_ERR_AUTH_FAILED:
                raise CredentialsRefused(host.name, self.name, error.get_error_message()) from error
            raise ControllerUnreachable(host.name, self.name, error.get_error_message() or "") from error

    def _refusal(
        self, host: Host, action: str, error: Any
    ) -> MachineNotFound | MachineBusy | CredentialsRefused | ActionRefused:
        code, message = error.get_error_code(), error.get_error_message() or ""
        if code == libvirt.VIR_ERR_NO_DOMAIN:  # gone since we found it
            return MachineNotFound(host.name, self.name, host.controller_id)
        if code == libvirt.VIR_ERR_OPERATION_INVALID:  # it is in another state than a moment ago
            return MachineBusy(host.name, message)
        if code in (libvirt.VIR_ERR_ACCESS_DENIED, libvirt.VIR_ERR_OPERATION_DENIED):
            return CredentialsRefused(host.name, self.name, message)
        return ActionRefused(host.name, self.name, action, message)

    def _connected(self) -> Any:
        with self._connecting:
            if self._connection is None or not _alive(self._connection):
                _LOOP.start()
                self._connection = libvirt.open(self.settings.connection_string)
                with suppress(libvirt.libvirtError):  # drivers without a daemon have none to keep alive
                    self._connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
            return self._connection

    def _forget(self, connection: Any) -> None:
        with self._connecting:
            if self._connection is connection:
                self._connection = None


class _EventLoop:
    """libvirt notices a daemon that hangs only where its event loop runs; there is one in a process."""

    def __init__(self) -> None:
        self._once = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with self._once:
            if self._thread is None:
                libvirt.registerErrorHandler(lambda *_: None, None)  # it would write to stderr
                libvirt.virEventRegisterDefaultImpl()
                self._thread = threading.Thread(target=self._run, name="libvirt", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            libvirt.virEventRunDefaultImpl()


_LOOP = _EventLoop()


def _state(domain: Any) -> MachineState:
    number = domain.state()[0]
    return MappingProxyType(
        {
            libvirt.VIR_DOMAIN_RUNNING: MachineState.RUNNING,
            libvirt.VIR_DOMAIN_BLOCKED: MachineState.RUNNING,
            libvirt.VIR_DOMAIN_SHUTDOWN: MachineState.STOPPING,
            libvirt.VIR_DOMAIN_SHUTOFF: MachineState.STOPPED,
            libvirt.VIR_DOMAIN_PAUSED: MachineState.PAUSED,
            libvirt.VIR_DOMAIN_PMSUSPENDED: MachineState.PAUSED,
            libvirt.VIR_DOMAIN_CRASHED: MachineState.PAUSED,
        }
    ).get(number, MachineState.UNKNOWN)


def _find(connection: Any, machine: str) -> Any:
    for lookup in (connection.lookupByName, connection.lookupByUUIDString):
        try:
            return lookup(machine)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG):
                raise
    return None


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
