"""The contract between the host pool and what starts and stops machines; one driver a module.

Every call blocks and may come from any thread. Drivers translate the errors of their SDKs where they enter,
to the leaves of `controller_errors`; nothing else leaves them.
"""

import enum
from abc import ABC, abstractmethod

from batchd_infra.controller_errors import (
    ActionRefused,
    ControllerClosed,
    ControllerError,
    ControllerMisconfigured,
    ControllerUnreachable,
    CredentialsRefused,
    DriverNotInstalled,
    HostSettingsWrong,
    MachineAmbiguous,
    MachineBusy,
    MachineNotFound,
    MalformedAnswer,
    StartFailed,
    StartStopDisabled,
    StopFailed,
    TooManyRequests,
)
from batchd_infra.hosts import Host

__all__ = [
    "ActionRefused",
    "Controller",
    "ControllerClosed",
    "ControllerError",
    "ControllerMisconfigured",
    "ControllerUnreachable",
    "CredentialsRefused",
    "DriverNotInstalled",
    "HostSettingsWrong",
    "MachineAmbiguous",
    "MachineBusy",
    "MachineNotFound",
    "MachineState",
    "MalformedAnswer",
    "StartFailed",
    "StartStopDisabled",
    "StopFailed",
    "TooManyRequests",
]

LIMIT_SECONDS = 600.0


class MachineState(enum.StrEnum):
    """STOPPED: there, and off. PAUSED: there, and neither working nor off (suspended, crashed, or kept
    although it should be gone): a start brings it to work, a stop ends it. ABSENT: no such machine."""

    RUNNING = "running"
    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    PAUSED = "paused"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Controller(ABC):
    """Controls machines, each addressed by a host's record: its `controller_id` and `controller_settings`."""

    def __init__(self, name: str, *, enable_start_stop: bool = True) -> None:
        self._name = name
        self._enable_start_stop = enable_start_stop

    @property
    def name(self) -> str:
        """As in `controllers/NAME.yaml`."""
        return self._name

    @property
    def can_start_stop(self) -> bool:
        """False: `start` and `stop` raise StartStopDisabled. The rest may be asked all the same."""
        return self._enable_start_stop

    @abstractmethod
    def start(self, host: Host, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Return when the machine is really running; at once if it is.

        What is on its way elsewhere is waited for, what is paused goes on, what has crashed begins anew. An
        API that is away, busy or overloaded is asked again, within limits. Raises StartFailed at
        `limit_seconds` (with the machine's state), and any other ControllerError.
        """

    @abstractmethod
    def stop(self, host: Host, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Return when the machine is really off, never before; at once if it is off or absent.

        The machine is asked to end by itself; one that does not is forced after a while. Raises StopFailed at
        `limit_seconds`, and any other ControllerError.
        """

    @abstractmethod
    def status(self, host: Host) -> MachineState:
        """The state now. Raises ControllerError: not to know is never ABSENT or STOPPED."""

    def address(self, host: Host) -> str | None:
        """Where a running machine is reached now; None: where `host.host_name` says."""
        return None

    def host_keys(self, host: Host) -> tuple[str, ...]:
        """The SSH host keys (`ssh-ed25519 AAAA…`) that the controller itself read from the machine."""
        return ()

    def check_host(self, host: Host) -> None:  # noqa: B027 - most have nothing to check
        """Raises HostSettingsWrong if the host's settings for this controller cannot work; asks nobody."""

    def known_host_settings(self) -> frozenset[str]:
        """The keys that may stand under the controller's name in a host's file."""
        return frozenset()

    def close(self) -> None:  # noqa: B027 - some never wait
        """End every call that waits, with ControllerClosed; the machines stay as they are."""
