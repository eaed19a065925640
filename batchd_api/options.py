"""What the facade must know of the configuration; the composition root makes it from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

BODY_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class FacadeOptions:
    """`allowed_hosts` adds to this machine's own names, `*` allows any; `trusted_proxies` are addresses or
    networks. `prefect_ui_url` is where people open Prefect's pages. `default_syntax` is of templates.

    `static_salt` belongs to hashes of an old installation. `static_path`: a folder with a web client.
    """

    auth_disabled: bool = False
    basic: bool = True
    header: bool = False
    static_salt: str | None = field(default=None, repr=False)
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1")
    timezone: ZoneInfo
    body_limit_bytes: int = BODY_LIMIT_BYTES
    static_path: Path | None = None
    prefect_ui_url: str | None = None
    default_syntax: str = "Shell"
    daemon: str = "Both"
    memory_metrics: bool = True
    http_metrics: bool = True
    prometheus_open: bool = False
    notify_targets: tuple[str, ...] = ()
