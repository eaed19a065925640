"""Where people open our own page: what links in other places lead to."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from batchd_api.settings_records import Settings


def page_url(settings: Settings) -> str:
    """Without a final slash."""
    manager = settings.manager
    if manager.url:
        return manager.url.rstrip("/")
    host = manager.host
    with suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]"))
        if address.is_unspecified:
            host = socket.gethostname()
        elif address.version == 6:
            host = f"[{address}]"
    return f"http://{host}:{manager.port}"
