"""Hosts: the machines that `hosts/NAME.yaml` defines, and how commands reach them."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from batchd_infra.catalogue import Catalogue, not_found_sentence
from batchd_infra.config_files import Fields, Problem, given_or, load_records, record_name
from batchd_infra.errors import InfraError

LOCAL_CONTROLLER = "local"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SECRET_SETTINGS = ("root_password",)


class HostKeyPolicy(enum.StrEnum):
    """What an unknown SSH host key means. A changed one is refused always."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"


@dataclass(frozen=True, kw_only=True)
class Host:
    """One host. Paths and directories are as written; `private_key` None: the usual keys are offered.

    `controller_settings` is the mapping under the key named like the controller, for its driver to read;
    secrets in it are SecretStr.
    """

    name: str
    host_name: str
    controller_id: str
    controller: str = LOCAL_CONTROLLER
    controller_settings: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False)
    user_name: str | None = None
    port: int = 22
    public_key: str | None = None
    private_key: str | None = None
    passphrase: SecretStr | None = None
    host_key_policy: HostKeyPolicy = HostKeyPolicy.STRICT
    max_jobs: int | None = None
    startup_time_seconds: float = 5
    shutdown_timeout_seconds: float = 300
    stop_foreign: bool = False
    input_directory: str = "."
    output_directory: str = "."
    scripts_directory: str | None = None
    working_directory: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False)
    timeout_seconds: float | None = None
    silence_seconds: float | None = None
    kill_after_seconds: float | None = None
    lost_after_seconds: float = 86400
    checksum: bool = False
    startup_commands_on_dispatcher: tuple[str, ...] = ()
    startup_commands_on_host: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False)
    source: Path | None = None


class HostNotFound(InfraError):
    """No file defines a host of this name."""

    def __init__(self, name: str, nearest: str | None = None) -> None:
        self.name = name
        self.nearest = nearest
        super().__init__(not_found_sentence("host", name, nearest))


class Hosts(Catalogue[Host]):
    """The loaded hosts; `get` raises HostNotFound."""

    def __init__(self, hosts: Iterable[Host] = (), aliases: Mapping[str, str] = _NOTHING) -> None:
        super().__init__(hosts, aliases, HostNotFound)


def load_hosts(folders: Iterable[Path]) -> tuple[Hosts, tuple[Problem, ...]]:
    """The hosts of `FOLDER/hosts/*.yaml`; a bad file is a problem and the others still load."""
    loaded = load_records(folders, "hosts", _read_host)
    return Hosts(loaded.records, loaded.aliases), loaded.problems


def _read_host(fields: Fields) -> Host:
    name = record_name(fields)
    controller = fields.text("controller") or LOCAL_CONTROLLER
    passphrase = fields.text("passphrase")
    return Host(
        name=name,
        host_name=fields.text("host_name") or name,
        controller_id=fields.text("controller_id") or name,
        controller=controller,
        controller_settings=_controller_settings(fields, controller),
        user_name=fields.text("user_name"),
        port=fields.integer("port", minimum=1, maximum=65535) or 22,
        public_key=fields.text("public_key"),
        private_key=fields.text("private_key"),
        passphrase=None if passphrase is None else SecretStr(passphrase),
        host_key_policy=fields.choice("host_key_policy", HostKeyPolicy) or HostKeyPolicy.STRICT,
        max_jobs=fields.integer("max_jobs", minimum=1),
        startup_time_seconds=given_or(fields.seconds("startup_time"), 5),
        shutdown_timeout_seconds=given_or(fields.seconds("shutdown_timeout"), 300),
        stop_foreign=fields.boolean("stop_foreign") or False,
        input_directory=fields.text("input_directory") or ".",
        output_directory=fields.text("output_directory") or ".",
        scripts_directory=fields.text("scripts_directory"),
        working_directory=fields.text("working_directory"),
        environment=MappingProxyType(fields.text_map("environment")),
        timeout_seconds=fields.seconds("timeout"),
        silence_seconds=fields.seconds("silence"),
        kill_after_seconds=fields.seconds("kill_after"),
        lost_after_seconds=given_or(fields.seconds("lost_after"), 86400),
        checksum=fields.boolean("checksum") or False,
        startup_commands_on_dispatcher=fields.texts("startup_commands_on_dispatcher") or (),
        startup_commands_on_host=fields.texts("startup_commands_on_host") or (),
        variables=MappingProxyType(fields.text_map("variables")),
        source=fields.path,
    )


def _controller_settings(fields: Fields, controller: str) -> Mapping[str, Any]:
    """The mapping under the controller's name, unless that name is one of our own keys."""
    if controller in Host.__dataclass_fields__:
        return _NOTHING
    fields.section(controller)  # an error if it is no mapping
    settings = dict(fields.plain(controller) or {})
    for key in _SECRET_SETTINGS:
        if isinstance(settings.get(key), str):
            settings[key] = SecretStr(settings[key])
    return MappingProxyType(settings)
