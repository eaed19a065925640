"""What the configuration gives, read once at start."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchd_api.db.session import Database
from batchd_api.settings_records import DaemonMode, Settings
from batchd_flows.job_types import JobTypes
from batchd_infra.controllers import Controllers
from batchd_infra.file_roots import FileRoots
from batchd_infra.hosts import Hosts


@dataclass(frozen=True, kw_only=True)
class Parts:
    settings: Settings
    mode: DaemonMode
    database: Database
    job_types: JobTypes
    hosts: Hosts
    installation_id: str
    controllers: Controllers = field(default_factory=Controllers)
    file_roots: FileRoots = field(default_factory=FileRoots)

    @property
    def serves(self) -> bool:
        return self.mode in (DaemonMode.BOTH, DaemonMode.MANAGER)

    @property
    def dispatches(self) -> bool:
        return self.mode in (DaemonMode.BOTH, DaemonMode.DISPATCHER)
