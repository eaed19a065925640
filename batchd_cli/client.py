"""The REST contract as a Python class: what `batch` uses, and what programs may use.

    with Client("http://localhost:9681", auth=basic("me", "secret")) as client:
        job = client.enqueue("night", "command", {"command": "make"}).wait()
        job.status, job.exit_code

Every method may raise `Unreachable`, `ServerError` (the manager's code and sentence) and `ProtocolError`;
all errors are `BatchError`s.
"""

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from batchd_cli import credentials
from batchd_cli.config import Config, folders, load
from batchd_cli.connection import TIMEOUT_SECONDS, Connection, Tls
from batchd_cli.errors import PasswordNeeded
from batchd_cli.handle import JobHandle
from batchd_cli.job_calls import JobCalls
from batchd_cli.monitor_calls import MonitorCalls
from batchd_cli.queue_calls import QueueCalls
from batchd_cli.records import (
    DryRun,
    Health,
    Host,
    HostTest,
    HostTestStep,
    Job,
    JobCount,
    JobType,
    Metric,
    Myself,
    Opening,
    OutputEvent,
    Parameter,
    Period,
    Permission,
    Queue,
    Reason,
    Result,
    Schedule,
    StatusEvent,
)
from batchd_cli.user_calls import UserCalls

__all__ = [
    "Client",
    "DryRun",
    "Health",
    "Host",
    "HostTest",
    "HostTestStep",
    "Job",
    "JobCount",
    "JobHandle",
    "JobType",
    "Metric",
    "Myself",
    "Opening",
    "OutputEvent",
    "Parameter",
    "Period",
    "Permission",
    "Queue",
    "Reason",
    "Result",
    "Schedule",
    "StatusEvent",
    "Tls",
    "basic",
    "user_header",
]


def basic(username: str, password: str) -> dict[str, str]:
    """HTTP basic authentication, as UTF-8."""
    return {
        "Authorization": "Basic "
        + b64encode(f"{username}:{password}".encode(errors="surrogateescape")).decode()
    }


def user_header(username: str) -> dict[str, str]:
    """The name alone: for a manager without authentication, or behind a proxy that has done it.

    A header is bytes: the UTF-8 ones, each written as the Latin-1 letter that http.client turns back.
    """
    return {"X-Auth-User": username.encode(errors="surrogateescape").decode("latin-1")}


def tls_of(config: Config) -> Tls:
    """The certificates of the settings."""
    return Tls(
        certificate=config.certificate,
        key=config.key,
        ca_certificate=config.ca_certificate,
        check_server=not config.disable_server_certificate_check,
    )


def known_password(config: Config) -> str | None:
    """Without asking: from the settings, else from where `batch login` has put it."""
    if config.password is not None:
        return config.password
    found = credentials.find(credentials.default_path(), config.manager_url, config.username)
    return found.password if found else None


def _known_credentials(config: Config, methods: list[str]) -> dict[str, str]:
    if "basic" not in methods:
        return user_header(config.username)
    password = known_password(config)
    if password is None:
        raise PasswordNeeded(config.username)
    return basic(config.username, password)


class Client(QueueCalls, JobCalls, UserCalls, MonitorCalls):
    """A manager at a URL. Not for several threads at once; close it, or use it in a `with`."""

    def __init__(
        self,
        url: str = "http://localhost:9681",
        *,
        auth: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        trace: Callable[[str], None] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            Connection(
                url, headers=auth or {}, tls=tls or Tls(), trace=trace, timeout_seconds=timeout_seconds
            )
        )

    @classmethod
    def configured(cls) -> Self:
        """The manager and user of `client.yaml`, the BATCH_* variables and `batch login`; nobody is asked.

        Errors: ConfigError; PasswordNeeded.
        """
        config = load({}, os.environ, folders())
        client = cls(config.manager_url, tls=tls_of(config))
        client.authenticate(_known_credentials(config, [] if config.disable_auth else client.methods()))
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def authenticate(self, auth: Mapping[str, str]) -> None:
        """These headers go with each request from now on."""
        self._connection.headers.update(auth)

    def methods(self) -> list[str]:
        """How one may authenticate: `basic`, `header`, both; none when authentication is off."""
        return [str(one) for one in self._list("OPTIONS", "/")]
