"""Hosts as tests want them, and a pace at which nobody has to wait."""

from __future__ import annotations

from typing import Any

from batchd_infra.hosts import Host
from batchd_infra.power import Pace

FAST = Pace(
    first_look_seconds=0.02, look_seconds=0.1, ask_again_seconds=1.0, grace_seconds=3.0, patience_seconds=1.0
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFuLWV4YW1wbGUtb2YtMzItYnl0ZXMtaW4tYWxsISEh"


def host(machine: str, **more: Any) -> Host:
    return Host(**{"name": f"host-{machine}", "host_name": "127.0.0.1", "controller_id": machine, **more})
