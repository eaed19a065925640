"""Where each setting of the client comes from: option, BATCH_* variable, `client.yaml`, default."""

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from batchd_cli.credentials import readable_by_others
from batchd_cli.errors import ConfigError
from batchd_cli.lazy import heavy

VARIABLES = {
    "manager_url": "BATCH_MANAGER_URL",
    "queue": "BATCH_QUEUE",
    "type": "BATCH_TYPE",
    "host": "BATCH_HOST",
    "username": "BATCH_USERNAME",
    "password": "BATCH_PASSWORD",
}

_TRUE = {"true", "yes", "on", "y"}
_FALSE = {"false", "no", "off", "n"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The client's settings, put together; `warnings` are sentences for stderr, `sources` say of each key
    where it comes from."""

    manager_url: str = "http://localhost:9681"
    queue: str = "default"
    type: str = "command"
    host: str | None = None
    disable_auth: bool = False
    certificate: str | None = None
    key: str | None = None
    ca_certificate: str | None = None
    disable_server_certificate_check: bool = False
    username: str = "anonymous"
    password: str | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


KEYS = tuple(one.name for one in fields(Config) if one.name not in ("warnings", "sources"))
DEFAULT = "default"


def folders() -> list[Path]:
    """Where `client.yaml` is looked for; the first one found is the one."""
    return [Path.home() / ".config" / "batchd", Path("/etc/batchd")]


def load(options: Mapping[str, str], environment: Mapping[str, str], places: Sequence[Path]) -> Config:
    """The settings. An empty variable counts as none. Errors: ConfigError."""
    from_file, warnings = _read_file(places)
    from_environment = {
        key: Setting(value=value, source=name)
        for key, name in VARIABLES.items()
        if (value := environment.get(name))
    }
    from_options = {
        key: Setting(value=value, source=f"--{key.replace('_', '-')}") for key, value in options.items()
    }
    system = {"username": Setting(value=_user_name(), source="your name on this system")}
    chosen = system | from_file | from_environment | from_options
    values: dict[str, Any] = {key: setting.value for key, setting in chosen.items()}
    sources = {key: setting.source for key, setting in chosen.items()}
    return Config(**values, warnings=tuple(warnings), sources=dict.fromkeys(KEYS, DEFAULT) | sources)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A value, and where it was said."""

    value: str | bool
    source: str


def _read_file(places: Sequence[Path]) -> tuple[dict[str, Setting], list[str]]:
    path = next((file for folder in places if (file := folder / "client.yaml").is_file()), None)
    if path is None:
        return {}, []
    values: dict[str, Setting] = {}
    warnings = []
    for key, entry in heavy("client_file").read(path).items():
        where = f"{path}:{entry.line}"
        if key not in KEYS:
            warnings.append(_unknown(path, key, entry.line))
        elif entry.text:
            value = _PARSERS.get(key, _text)(entry.text, f"{where}: {key!r}")
            values[key] = Setting(value=value, source=where)
    if "password" in values and readable_by_others(path):
        warnings.append(f"{path} has a password and can be read by others; run: chmod 600 {path}")
    return values, warnings


def _unknown(path: Path, key: str, line: int) -> str:
    near = get_close_matches(key, KEYS, n=1)
    return f"{path}:{line}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _text(text: str, _where: str) -> str:
    return text


def _flag(text: str, where: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ConfigError(f"{where} must be true or false, not {text!r}")
    return word in _TRUE


def _path(text: str, _where: str) -> str:
    return str(Path(text).expanduser())


_PARSERS: dict[str, Callable[[str, str], str | bool]] = {
    "disable_auth": _flag,
    "disable_server_certificate_check": _flag,
    "certificate": _path,
    "key": _path,
    "ca_certificate": _path,
}


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no entry
        return "anonymous"
