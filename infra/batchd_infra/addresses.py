"""Which of its addresses a cloud's machine is reached at."""

import enum

from batchd_infra.controller import HostSettingsWrong
from batchd_infra.hosts import Host


class AddressKind(enum.StrEnum):
    """HOST_NAME: that of the host's file, whatever the API says."""

    PUBLIC = "public"
    PRIVATE = "private"
    HOST_NAME = "host_name"


def address_kind(host: Host, default: AddressKind) -> AddressKind:
    """The host's own `address`, else its controller's. Raises HostSettingsWrong."""
    word = host.controller_settings.get("address")
    if word is None:
        return default
    try:
        return AddressKind(str(word).lower())
    except ValueError as error:
        raise HostSettingsWrong(host.name, "address", f"must be one of {', '.join(AddressKind)}") from error
