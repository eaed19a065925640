"""How hosts are reached over SSH: one connection a host, as long as its address stays the same."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchd_infra.host_keys import KnownHosts
from batchd_infra.host_ledger import HostEntry
from batchd_infra.hosts import Host, HostKeyPolicy
from batchd_infra.ssh import SshConnection, SshTarget


def ssh_target(host: Host, entry: HostEntry, known_hosts_file: Path | None) -> SshTarget:
    """A machine that changes its address keeps its host key: under `strict` it is known by its host's name.

    One made on demand has a new key with its new address, which `accept-new` believes once.
    """
    address = entry.address or host.host_name
    moves = host.host_key_policy is HostKeyPolicy.ACCEPT_NEW and address != host.host_name
    return SshTarget(
        address=address,
        port=host.port,
        name=host.name,
        known_as=None if moves else host.host_name,
        user_name=host.user_name,
        private_key=None if host.private_key is None else Path(host.private_key).expanduser(),
        passphrase=host.passphrase,
        known_hosts_file=known_hosts_file,
        host_key_policy=host.host_key_policy,
        offered_host_keys=entry.host_keys,
    )


class HostConnections:
    """Any thread may ask. `known_hosts_file` is ours: read, and written under `accept-new`."""

    def __init__(
        self, known_hosts_file: Path | None = None, *, times: Mapping[str, float] | None = None
    ) -> None:
        """`times`: the seconds of an SshTarget that are to differ from what is usual."""
        self._known_hosts_file = known_hosts_file
        self._times: Mapping[str, Any] = times or {}
        self._guard = threading.Lock()
        self._open: dict[str, SshConnection] = {}

    def of(self, host: Host, entry: HostEntry) -> SshConnection:
        target = replace(ssh_target(host, entry, self._known_hosts_file), **self._times)
        with self._guard:
            known = self._open.get(host.name)
            if known is not None and known.target == target:
                return known
            fresh = self._open[host.name] = SshConnection(target)
        if known is not None:
            known.close()
        return fresh

    def forget(self, host: Host, entry: HostEntry) -> None:
        """The key that was believed when the machine was new. Raises InfraError."""
        target = ssh_target(host, entry, self._known_hosts_file)
        if target.known_hosts_file is not None and host.host_key_policy is HostKeyPolicy.ACCEPT_NEW:
            KnownHosts(target.known_hosts_file).forget(target.known_as or target.address, target.port)

    def forget_address(self, address: str) -> None:
        """Of a machine whose file is gone, and with it the port and the policy. Raises InfraError."""
        if self._known_hosts_file is not None:
            KnownHosts(self._known_hosts_file).forget_address(address)

    def close(self) -> None:
        with self._guard:
            connections = list(self._open.values())
            self._open.clear()
        for connection in connections:
            connection.close()
