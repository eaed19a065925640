"""What the services stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from batchd_api.db.session import Database
from batchd_api.errors import UnknownInBody
from batchd_flows.errors import FlowsError
from batchd_flows.job_types import JobType, JobTypes
from batchd_infra.file_roots import FileRoots
from batchd_infra.hosts import Hosts


@dataclass(frozen=True, kw_only=True)
class Ground:
    """`changed` is called after each commit that may let a job start or must be shown. `variables` are the
    installation's. `prefect_ui_url` is without a final slash; None: nobody knows where its pages are.
    """

    database: Database
    job_types: JobTypes
    hosts: Hosts
    zone: ZoneInfo
    clock: Callable[[], datetime]
    changed: Callable[[], None]
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    prefect_ui_url: str | None = None
    default_syntax: str = "Shell"
    notify_targets: tuple[str, ...] = ()
    file_roots: FileRoots = field(default_factory=FileRoots)

    def known_host(self, name: str) -> str:
        """The host's own name; Invalid if no file defines it."""
        if name not in self.hosts:
            raise UnknownInBody("host", name)
        return self.hosts.get(name).name

    def known_type(self, name: str) -> JobType:
        if name not in self.job_types:
            raise UnknownInBody("job type", name)
        return self.job_types.get(name)

    def host_of_type(self, name: str) -> str | None:
        """None also for a type whose file has gone."""
        return self.job_types.get(name).host_name if name in self.job_types else None

    def user_of_type(self, name: str) -> str | None:
        return self.job_types.get(name).run_as if name in self.job_types else None


def sentence_of(error: FlowsError) -> str:
    """What another package says in the middle of a sentence, as one."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
