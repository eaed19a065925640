"""What a controller's file, and a host's under its name, may say for the driver `linode`."""

import enum
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from batchd_infra.addresses import AddressKind
from batchd_infra.config_files import Fields
from batchd_infra.controller import HostSettingsWrong
from batchd_infra.hosts import Host

DEFAULT_API = "https://api.linode.com/v4"
TAG = "batchd"  # on what we created: nothing else is ever deleted
MACHINE_KEYS = frozenset(
    {"type", "region", "image", "root_password", "stackscript_id", "stackscript_data", "address"}
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|[-_.](?![-_.])){1,62}[A-Za-z0-9]")


class LinodeActions(enum.StrEnum):
    """BOOT_AND_SHUTDOWN: of Linodes that are there. CREATE_AND_DELETE: one exists only while it is wanted."""

    BOOT_AND_SHUTDOWN = "boot_and_shutdown"
    CREATE_AND_DELETE = "create_and_delete"


@dataclass(frozen=True, kw_only=True)
class LinodeSettings:
    """`token_file` is read at each start and stop, so that a new token needs no restart."""

    token_file: str
    actions: LinodeActions = LinodeActions.BOOT_AND_SHUTDOWN
    address: AddressKind = AddressKind.PUBLIC
    api_url: str = DEFAULT_API


def read_linode_settings(fields: Fields) -> LinodeSettings:
    return LinodeSettings(
        token_file=fields.required_text("token_file"),
        actions=fields.choice("actions", LinodeActions) or LinodeActions.BOOT_AND_SHUTDOWN,
        address=fields.choice("address", AddressKind) or AddressKind.PUBLIC,
        api_url=fields.text("api_url") or DEFAULT_API,
    )


def new_machine(host: Host) -> dict[str, Any]:
    """The arguments of `instance_create`. Raises HostSettingsWrong."""
    settings = host.controller_settings
    for key in ("type", "region", "image"):
        if not isinstance(settings.get(key), str):
            raise HostSettingsWrong(host.name, key, "is missing: a Linode is created with it")
    if not _LABEL.fullmatch(host.controller_id):
        raise HostSettingsWrong(
            host.name, "controller_id", f"{host.controller_id!r} cannot be the label of a Linode"
        )
    wanted = {
        "ltype": settings["type"],
        "region": settings["region"],
        "image": settings["image"],
        "label": host.controller_id,
        "tags": [TAG],
        "root_pass": _root_password(settings),
        "authorized_keys": _public_keys(host),
        "stackscript": _stackscript_id(host),
        "stackscript_data": settings.get("stackscript_data"),
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _root_password(settings: Mapping[str, Any]) -> str:
    """Nobody needs to know a made one: the way in is the key."""
    given = settings.get("root_password")
    if isinstance(given, SecretStr):
        return given.get_secret_value()
    return str(given) if given else secrets.token_urlsafe(32)


def _public_keys(host: Host) -> list[str] | None:
    if not host.public_key:
        if not host.controller_settings.get("root_password"):
            raise HostSettingsWrong(host.name, "public_key", "is missing: nobody could log in")
        return None
    if host.public_key.startswith(("ssh-", "ecdsa-", "sk-")):
        return [host.public_key.strip()]
    try:
        return [Path(host.public_key).expanduser().read_text().strip()]
    except (OSError, ValueError) as error:
        raise HostSettingsWrong(host.name, "public_key", f"cannot be read: {error}") from error


def _stackscript_id(host: Host) -> int | None:
    given = host.controller_settings.get("stackscript_id")
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", str(given)):
        raise HostSettingsWrong(host.name, "stackscript_id", "must be a number")
    return int(given)
