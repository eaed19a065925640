"""The controllers that `controllers/NAME.yaml` defines, and the built-in `local`."""

import difflib
import enum
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from batchd_infra.catalogue import Catalogue, not_found_sentence
from batchd_infra.config_files import (
    ConfigError,
    ConfigWarning,
    Fields,
    Problem,
    given_or,
    load_records,
    read_config,
    record_name,
)
from batchd_infra.controller import Controller, HostSettingsWrong
from batchd_infra.docker_container import DockerController, read_docker_settings
from batchd_infra.ec2_instance import Ec2Controller
from batchd_infra.ec2_settings import read_ec2_settings
from batchd_infra.errors import InfraError
from batchd_infra.fake_controller import FakeController, FakeSettings
from batchd_infra.hosts import LOCAL_CONTROLLER, Host
from batchd_infra.libvirt_domain import LibvirtController, read_libvirt_settings
from batchd_infra.linode_instance import LinodeController
from batchd_infra.linode_settings import read_linode_settings
from batchd_infra.local_host import LocalController


class Driver(enum.StrEnum):
    LIBVIRT = "libvirt"
    DOCKER = "docker"
    AWSEC2 = "awsec2"
    LINODE = "linode"
    FAKE = "fake"


class ControllerNotFound(InfraError):
    """No file defines a controller of this name."""

    def __init__(self, name: str, nearest: str | None = None) -> None:
        self.name = name
        self.nearest = nearest
        super().__init__(not_found_sentence("controller", name, nearest))


class Controllers(Catalogue[Controller]):
    """The loaded controllers, `local` always among them; `get` raises ControllerNotFound."""

    def __init__(
        self, controllers: Iterable[Controller] = (), aliases: Mapping[str, str] | None = None
    ) -> None:
        super().__init__([LocalController(), *controllers], aliases or {}, ControllerNotFound)

    def of(self, host: Host) -> Controller:
        return self.get(host.controller)

    def close(self) -> None:
        """End every start and stop that waits, with ControllerClosed."""
        for controller in self:
            controller.close()


def load_controllers(folders: Iterable[Path]) -> tuple[Controllers, tuple[Problem, ...]]:
    """The controllers of `FOLDER/controllers/*.yaml`; a bad file is a problem and the others still load."""
    loaded = load_records(folders, "controllers", _read_controller)
    return Controllers(loaded.records, loaded.aliases), loaded.problems


def check_hosts(hosts: Iterable[Host], controllers: Controllers) -> tuple[Problem, ...]:
    """What is wrong between the files of hosts and their controllers; nobody is asked."""
    return tuple(
        problem for host in hosts if host.source for problem in _host_problems(host, host.source, controllers)
    )


def _read_controller(fields: Fields) -> Controller:
    name = record_name(fields)
    if name == LOCAL_CONTROLLER:
        raise fields.error("name", f"{LOCAL_CONTROLLER!r} is built in; give this controller another name")
    driver = fields.choice("driver", Driver)
    if driver is None:
        raise fields.error("driver", f"is missing; it is one of {', '.join(Driver)}")
    enable = given_or(fields.boolean("enable_start_stop"), default=True)
    return _READERS[driver](name, enable, fields)


def _read_libvirt(name: str, enable: bool, fields: Fields) -> Controller:
    return LibvirtController(name, read_libvirt_settings(fields), enable_start_stop=enable)


def _read_docker(name: str, enable: bool, fields: Fields) -> Controller:
    return DockerController(name, read_docker_settings(fields), enable_start_stop=enable)


def _read_ec2(name: str, enable: bool, fields: Fields) -> Controller:
    return Ec2Controller(name, read_ec2_settings(fields), enable_start_stop=enable)


def _read_linode(name: str, enable: bool, fields: Fields) -> Controller:
    return LinodeController(name, read_linode_settings(fields), enable_start_stop=enable)


def _read_fake(name: str, enable: bool, fields: Fields) -> Controller:
    settings = FakeSettings(
        startup_seconds=given_or(fields.seconds("startup_seconds"), 1.0),
        shutdown_seconds=given_or(fields.seconds("shutdown_seconds"), 1.0),
    )
    return FakeController(name, settings, enable_start_stop=enable)


_READERS: Mapping[Driver, Callable[[str, bool, Fields], Controller]] = MappingProxyType(
    {
        Driver.LIBVIRT: _read_libvirt,
        Driver.DOCKER: _read_docker,
        Driver.AWSEC2: _read_ec2,
        Driver.LINODE: _read_linode,
        Driver.FAKE: _read_fake,
    }
)


def _host_problems(host: Host, source: Path, controllers: Controllers) -> list[Problem]:
    try:
        controller = controllers.of(host)
    except ControllerNotFound as error:
        return [ConfigError(source, _line(source, "controller"), "controller", str(error))]
    problems: list[Problem] = []
    known = controller.known_host_settings()
    for key in sorted(host.controller_settings.keys() - known):
        nearest = difflib.get_close_matches(key[:80], known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        message = f"unknown key, it has no effect{hint}"
        line = _line(source, key, host.controller)
        problems.append(ConfigWarning(source, line, f"{host.controller}.{key}", message))
    try:
        controller.check_host(host)
    except HostSettingsWrong as wrong:
        own = wrong.key in Host.__dataclass_fields__
        line = _line(source, wrong.key) if own else _line(source, wrong.key, host.controller)
        place = wrong.key if own else f"{host.controller}.{wrong.key}"
        problems.append(ConfigError(source, line, place, wrong.message))
    return problems


def _line(source: Path, key: str, section: str | None = None) -> int:
    """Hosts do not remember their lines; the file is read again, and may be gone."""
    try:
        fields = read_config(source)
        return (fields.section(section) if section else fields).line_of(key)
    except ConfigError:
        return 1
