"""The driver `linode`: Linodes that are booted and shut down, or created and deleted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests
from linode_api4 import ApiError, Instance, LinodeClient
from requests.adapters import HTTPAdapter

from batchd_infra.addresses import AddressKind, address_kind
from batchd_infra.controller import (
    ActionRefused,
    ControllerError,
    ControllerMisconfigured,
    ControllerUnreachable,
    CredentialsRefused,
    MachineAmbiguous,
    MachineBusy,
    MachineNotFound,
    MachineState,
    MalformedAnswer,
    TooManyRequests,
)
from batchd_infra.hosts import Host
from batchd_infra.linode_settings import (
    MACHINE_KEYS,
    TAG,
    LinodeActions,
    LinodeSettings,
    new_machine,
)
from batchd_infra.power import Pace, PoweredController

log = logging.getLogger("batchd.controllers")

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30
# Words of answers with status 400 that mean "not now": look again.
NOT_NOW = ("busy", "already booted", "already running", "must be unique")
_STATES = MappingProxyType(
    {
        "running": MachineState.RUNNING,
        "offline": MachineState.STOPPED,
        "stopped": MachineState.STOPPED,
        "booting": MachineState.STARTING,
        "rebooting": MachineState.STARTING,
        "provisioning": MachineState.STARTING,
        "migrating": MachineState.STARTING,
        "rebuilding": MachineState.STARTING,
        "cloning": MachineState.STARTING,
        "restoring": MachineState.STARTING,
        "shutting_down": MachineState.STOPPING,
        "deleting": MachineState.STOPPING,
    }
)


class LinodeController(PoweredController):
    """A host's `controller_id` is the Linode's label.

    One that we created and that is off still costs money: it is PAUSED, and off when it is gone.
    """

    def __init__(
        self, name: str, settings: LinodeSettings, *, enable_start_stop: bool = True, pace: Pace | None = None
    ) -> None:
        super().__init__(name, enable_start_stop=enable_start_stop, pace=pace)
        self.settings = settings

    def look(self, host: Host) -> MachineState:
        with self._linodes(host, "look at") as client:
            linode = self._find(client, host)
            return MachineState.ABSENT if linode is None else self._state(linode)

    def boot(self, host: Host, state: MachineState) -> None:
        with self._linodes(host, "start") as client:
            linode = self._find(client, host)
            if linode is not None:
                linode.boot()
            elif self.settings.actions is LinodeActions.CREATE_AND_DELETE:
                client.linode.instance_create(**new_machine(host))
            else:
                raise MachineNotFound(host.name, self.name, host.controller_id)

    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        """The API has no force; a shutdown that the system does not follow ends in a power-off there."""
        with self._linodes(host, "stop") as client:
            linode = self._find(client, host)
            if linode is None:
                return
            if self._is_ours(linode):
                linode.delete()
                return
            if self.settings.actions is LinodeActions.CREATE_AND_DELETE:
                log.warning(
                    "host %s: the Linode %s has no tag %s, so that it is shut down and not deleted",
                    host.name,
                    linode.label,
                    TAG,
                )
            linode.shutdown()

    def address(self, host: Host) -> str | None:
        kind = address_kind(host, self.settings.address)
        if kind is AddressKind.HOST_NAME:
            return None
        with self._linodes(host, "look at") as client:
            linode = self._find(client, host)
            if linode is None or self._state(linode) is not MachineState.RUNNING:
                return None
            return _address(linode.ipv4, kind)

    def check_host(self, host: Host) -> None:
        address_kind(host, self.settings.address)
        if self.settings.actions is LinodeActions.CREATE_AND_DELETE:
            new_machine(host)

    def known_host_settings(self) -> frozenset[str]:
        return MACHINE_KEYS

    def _find(self, client: LinodeClient, host: Host) -> Instance | None:
        """Labels are unique in an account, but a create whose answer was lost may have been made twice."""
        label = host.controller_id
        found = [i for i in client.linode.instances(Instance.label == label) if i.label == label]
        if len(found) > 1:
            raise MachineAmbiguous(host.name, self.name, label, sorted(str(i.id) for i in found))
        return found[0] if found else None

    def _is_ours(self, linode: Instance) -> bool:
        return self.settings.actions is LinodeActions.CREATE_AND_DELETE and TAG in (linode.tags or [])

    def _state(self, linode: Instance) -> MachineState:
        status = linode.status
        if not isinstance(status, str):
            raise TypeError("a Linode without a status")
        state = _STATES.get(status, MachineState.UNKNOWN)
        return MachineState.PAUSED if state is MachineState.STOPPED and self._is_ours(linode) else state

    @contextmanager
    def _linodes(self, host: Host, action: str) -> Iterator[LinodeClient]:
        try:
            client = self._client()
        except (OSError, ValueError) as error:
            raise ControllerMisconfigured(host.name, self.name, f"token_file: {error}") from error
        try:
            yield client
        except ApiError as error:
            raise self._translated(host, action, error) from error
        except requests.JSONDecodeError as error:
            raise MalformedAnswer(host.name, self.name, "no JSON") from error
        except requests.RequestException as error:
            raise ControllerUnreachable(host.name, self.name, _plain_reason(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise MalformedAnswer(host.name, self.name, f"{type(error).__name__}: {error}") from error
        finally:
            client.session.close()

    def _client(self) -> LinodeClient:
        """The SDK repeats POST too; here a look comes before each."""
        token = Path(self.settings.token_file).expanduser().read_text(encoding="ascii").strip()
        if not token:
            raise ValueError(f"{self.settings.token_file} is empty")
        client = LinodeClient(token, base_url=self.settings.api_url.rstrip("/"), retry=False)
        client.session.mount("http://", _TimelyAdapter())
        client.session.mount("https://", _TimelyAdapter())
        return client

    def _translated(self, host: Host, action: str, error: ApiError) -> ControllerError:
        why = "; ".join(str(reason) for reason in error.errors) or f"status {error.status}"
        status = error.status
        if status == requests.codes.too_many_requests:
            return TooManyRequests(host.name, self.name, why, _retry_after_seconds(error))
        if status >= requests.codes.server_error or status == requests.codes.request_timeout:
            return ControllerUnreachable(host.name, self.name, why, _retry_after_seconds(error))
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            return CredentialsRefused(host.name, self.name, why)
        if status == requests.codes.not_found or any(word in why.lower() for word in NOT_NOW):
            return MachineBusy(host.name, why)
        return ActionRefused(host.name, self.name, action, why)


class _TimelyAdapter(HTTPAdapter):
    """The SDK sets no limit of time."""

    def send(self, request: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        return super().send(request, **{**options, "timeout": (CONNECT_SECONDS, ANSWER_SECONDS)})


def _address(addresses: Any, kind: AddressKind) -> str | None:
    """The first of its kind; Linode's private ones are 192.168.x.x."""
    private = kind is AddressKind.PRIVATE
    return next((str(a) for a in addresses or () if str(a).startswith("192.168.") is private), None)


def _retry_after_seconds(error: ApiError) -> float | None:
    """Seconds, or a date."""
    text = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()) if text else None
    except (TypeError, ValueError):
        return None


def _plain_reason(error: requests.RequestException) -> str:
    """Without the objects that the texts of this library are full of."""
    return "it is too slow" if isinstance(error, requests.Timeout) else type(error).__name__
