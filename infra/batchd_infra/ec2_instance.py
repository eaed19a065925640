"""The driver `awsec2`: instances of Amazon's EC2, or of what speaks its API."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import botocore.session
from botocore import exceptions as botocore_exceptions
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.parsers import ResponseParserError

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
from batchd_infra.ec2_settings import Ec2Settings
from batchd_infra.hosts import Host
from batchd_infra.power import Pace, PoweredController

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30
SDK_ATTEMPTS = 3  # what is repeated here may be: a start or a stop said twice is one
SERVER_ERROR = 500
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_UNKNOWN_INSTANCE = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")
_BUSY = ("IncorrectInstanceState", "IncorrectState", "InvalidState")
_LOGIN = (
    "AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "InvalidClientTokenId",
    "SignatureDoesNotMatch", "ExpiredToken", "RequestExpired", "OptInRequired", "Blocked",
    "PendingVerification", "MissingAuthenticationToken", "UnrecognizedClientException",
)  # fmt: skip
_TOO_MANY = (
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "ThrottledException", "SlowDown", "EC2ThrottledException",
)  # fmt: skip
_STATES = MappingProxyType(
    {
        "pending": MachineState.STARTING,
        "running": MachineState.RUNNING,
        "stopping": MachineState.STOPPING,
        "shutting-down": MachineState.STOPPING,
        "stopped": MachineState.STOPPED,
        "terminated": MachineState.ABSENT,
    }
)
_KEYS_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"((?:ssh|ecdsa)-[a-z0-9-]+) +([A-Za-z0-9+/]{40,}=*)")


class Ec2Controller(PoweredController):
    """A host's `controller_id` is the instance's Name tag or its id. None is ever made or terminated."""

    def __init__(
        self, name: str, settings: Ec2Settings, *, enable_start_stop: bool = True, pace: Pace | None = None
    ) -> None:
        super().__init__(name, enable_start_stop=enable_start_stop, pace=pace)
        self.settings = settings
        self._client: Any = None
        self._making = threading.Lock()

    def look(self, host: Host) -> MachineState:
        with self._ec2(host, "look at") as ec2:
            instance = self._find(ec2, host)
            return MachineState.ABSENT if instance is None else _state(instance)

    def boot(self, host: Host, state: MachineState) -> None:
        with self._ec2(host, "start") as ec2:
            ec2.start_instances(InstanceIds=[self._there(ec2, host)["InstanceId"]])

    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        with self._ec2(host, "stop") as ec2:
            instance = self._find(ec2, host)
            if instance is not None:
                ec2.stop_instances(InstanceIds=[instance["InstanceId"]], Force=insist)

    def address(self, host: Host) -> str | None:
        kind = address_kind(host, self.settings.address)
        if kind is AddressKind.HOST_NAME:
            return None
        with self._ec2(host, "look at") as ec2:
            instance = self._find(ec2, host)
            if instance is None or _state(instance) is not MachineState.RUNNING:
                return None
            keys = (
                ("PublicDnsName", "PublicIpAddress") if kind is AddressKind.PUBLIC else ("PrivateIpAddress",)
            )
            return next((str(instance[key]) for key in keys if instance.get(key)), None)

    def host_keys(self, host: Host) -> tuple[str, ...]:
        """From the console, where cloud-init writes them at a boot; some minutes late, and not for ever."""
        with self._ec2(host, "read the console of") as ec2:
            instance_id = self._there(ec2, host)["InstanceId"]
            output = ec2.get_console_output(InstanceId=instance_id).get("Output") or ""
            blocks = _KEYS_BLOCK.findall(output)
            return tuple(f"{kind} {key}" for kind, key in _KEY.findall(blocks[-1])) if blocks else ()

    def check_host(self, host: Host) -> None:
        address_kind(host, self.settings.address)

    def known_host_settings(self) -> frozenset[str]:
        return frozenset({"address"})

    def _there(self, ec2: Any, host: Host) -> Mapping[str, Any]:
        instance = self._find(ec2, host)
        if instance is None or _state(instance) is MachineState.ABSENT:
            hint = "" if instance is None else " (that instance is terminated, which nothing undoes)"
            raise MachineNotFound(host.name, self.name, host.controller_id, hint)
        return instance

    def _find(self, ec2: Any, host: Host) -> Mapping[str, Any] | None:
        """By a Name tag: among those not terminated. A terminated one shows for an hour."""
        machine = host.controller_id
        if _INSTANCE_ID.fullmatch(machine):
            try:
                found = _instances(ec2, InstanceIds=[machine])
            except ClientError as error:
                if _code(error) in _UNKNOWN_INSTANCE:
                    return None
                raise
            return found[0] if found else None
        named = _instances(ec2, Filters=[{"Name": "tag:Name", "Values": [_literally(machine)]}])
        there = [i for i in named if _state(i) is not MachineState.ABSENT]
        if len(there) > 1:
            ids = sorted(str(i["InstanceId"]) for i in there)
            raise MachineAmbiguous(host.name, self.name, machine, ids)
        return next(iter(there or named), None)

    @contextmanager
    def _ec2(self, host: Host, action: str) -> Iterator[Any]:
        try:
            with self._making:
                if self._client is None:
                    self._client = _client(self.settings)
            yield self._client
        except ClientError as error:
            raise self._translated(host, action, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise CredentialsRefused(host.name, self.name, str(error)) from error
        except (ProfileNotFound, NoRegionError, ConfigParseError) as error:
            raise ControllerMisconfigured(host.name, self.name, str(error)) from error
        except (HTTPClientError, botocore_exceptions.ConnectionError) as error:
            raise ControllerUnreachable(host.name, self.name, str(error)) from error
        except (ResponseParserError, KeyError, TypeError, AttributeError) as error:
            raise MalformedAnswer(host.name, self.name, f"{type(error).__name__}: {error}") from error
        except (BotoCoreError, ValueError) as error:
            raise ControllerMisconfigured(host.name, self.name, str(error)) from error

    def _translated(self, host: Host, action: str, error: ClientError) -> ControllerError:
        code = _code(error)
        why = f"{code}: {error.response.get('Error', {}).get('Message', '')}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _TOO_MANY or status == 429:
            return TooManyRequests(host.name, self.name, why)
        if code in _BUSY:
            return MachineBusy(host.name, why)
        if code in _LOGIN:
            return CredentialsRefused(host.name, self.name, why)
        if code in _UNKNOWN_INSTANCE:
            return MachineNotFound(host.name, self.name, host.controller_id)
        if status >= SERVER_ERROR and not code.startswith("Insufficient"):
            return ControllerUnreachable(host.name, self.name, why)
        return ActionRefused(host.name, self.name, action, why)


def _client(settings: Ec2Settings) -> Any:
    """One for all threads: clients may be shared, sessions may not."""
    session = botocore.session.Session(profile=settings.profile)
    if settings.credentials_path:
        session.set_config_variable("credentials_file", str(Path(settings.credentials_path).expanduser()))
    return boto3.Session(botocore_session=session).client(
        "ec2",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        aws_access_key_id=_plain(settings.access_key),
        aws_secret_access_key=_plain(settings.secret_key),
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": SDK_ATTEMPTS},
            use_fips_endpoint=settings.fips or None,
        ),
    )


def _plain(secret: Any) -> str | None:
    return None if secret is None else str(secret.get_secret_value())


def _instances(ec2: Any, **which: Any) -> list[Mapping[str, Any]]:
    pages = ec2.get_paginator("describe_instances").paginate(**which)
    return [instance for page in pages for group in page["Reservations"] for instance in group["Instances"]]


def _state(instance: Mapping[str, Any]) -> MachineState:
    return _STATES.get(instance["State"]["Name"], MachineState.UNKNOWN)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _literally(text: str) -> str:
    """Filters take * and ? as patterns."""
    return re.sub(r"([*?\\])", r"\\\1", text)
