"""The machine of an attempt: this one, or its host behind SSH at the address that the ledger knows."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from batchd_flows.ssh_machine import SshMachine
from batchd_flows.supervisor import Machine
from batchd_infra.file_transfer import FileTransfer
from batchd_infra.host_ledger import HostEntry, HostLedger
from batchd_infra.host_targets import HostConnections
from batchd_infra.hosts import Host, Hosts
from batchd_infra.ssh import SshConnection

ATTEMPTS = "attempts"
ID_LENGTH = 8


@dataclass(frozen=True, kw_only=True)
class Site:
    """A host as a job finds it."""

    host: Host
    machine: SshMachine
    transfer: FileTransfer


class Machines:
    """Blocking; any thread may ask. Two installations that share a login keep apart by `installation_id`."""

    def __init__(
        self,
        hosts: Hosts,
        ledger: HostLedger,
        connections: HostConnections,
        *,
        local: Machine,
        installation_id: str,
    ) -> None:
        self._hosts = hosts
        self._ledger = ledger
        self._connections = connections
        self._local = local
        self._mark = installation_id[:ID_LENGTH]
        self._guard = threading.Lock()
        self._open: dict[str, tuple[SshConnection, Site]] = {}

    def of(self, host_name: str | None) -> Machine:
        """Raises HostNotFound where no file defines the host (any more)."""
        return self._local if host_name is None else self.site(host_name).machine

    def entry(self, host_name: str) -> HostEntry:
        return self._ledger.entries().get(host_name) or HostEntry(name=host_name)

    def site(self, host_name: str) -> Site:
        """Raises HostNotFound."""
        host = self._hosts.get(host_name)
        connection = self._connections.of(host, self.entry(host_name))
        with self._guard:
            known = self._open.get(host_name)
            if known is not None and known[0] is connection:
                return known[1]
            site = self._site(host, connection)
            self._open[host_name] = (connection, site)
        if known is not None:
            known[1].machine.close()
        return site

    def own_folder(self, folder_name: str) -> str:
        """The name of the folder for a job's files, in the host's directories."""
        return f"batchd-{self._mark}-{folder_name}"

    def close(self) -> None:
        with self._guard:
            sites = [site for _, site in self._open.values()]
            self._open.clear()
        for site in sites:
            site.machine.close()
        self._connections.close()

    def _site(self, host: Host, connection: SshConnection) -> Site:
        folder = f"{ATTEMPTS}-{self._mark}"
        attempts_folder = f"{host.scripts_directory or '.batchd'}/{folder}"
        machine = SshMachine(connection, host_name=host.name, attempts_folder=attempts_folder)
        return Site(host=host, machine=machine, transfer=FileTransfer(connection))
