"""What means something else here than in the original batchd, on purpose, and how the old way comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batchd_infra.config_files import ConfigError, Fields, read_config


@dataclass(frozen=True, kw_only=True)
class Change:
    """`place` is the key's in batchd.yaml; null: the key stands in files of job types or hosts."""

    key: str
    now: str
    was: str
    old_way: str
    place: tuple[str, ...] | None = None

    @property
    def sentence(self) -> str:
        return f"{self.key}: {self.now} (the original: {self.was}); the old way: {self.old_way}"


CHANGES = (
    Change(
        key="manager.host",
        now="only this machine may connect",
        was="all addresses",
        old_way="manager: {host: 0.0.0.0}",
        place=("manager", "host"),
    ),
    Change(
        key="manager.allowed_hosts",
        now="a request must name this machine in its Host header",
        was="any name",
        old_way="manager: {allowed_hosts: ['*']}",
        place=("manager", "allowed_hosts"),
    ),
    Change(
        key="manager.trusted_proxies",
        now="X-Auth-User is believed from this machine only",
        was="from anywhere",
        old_way="manager: {trusted_proxies: [0.0.0.0/0]}",
        place=("manager", "trusted_proxies"),
    ),
    Change(
        key="dispatcher.environment",
        now="jobs inherit the environment without secrets",
        was="all of it",
        old_way="give a job type what it needs under `environment`",
        place=("dispatcher", "environment"),
    ),
    Change(
        key="substitution of a job type",
        now="values reach a command as shell variables",
        was="as text of the command",
        old_way="substitution: text, in the type's file",
    ),
    Change(
        key="host_key_policy of a host",
        now="an unknown SSH host key is refused",
        was="accepted",
        old_way="batchd-admin trust-host NAME, or host_key_policy: accept-new in the host's file",
    ),
    Change(
        key="max_jobs of host and type",
        now="both limits hold",
        was="the larger one",
        old_way="raise the smaller one",
    ),
)


def unsaid(source: Path | None) -> tuple[Change, ...]:
    """The changes that a batchd.yaml does not decide itself; none for an installation without a file."""
    if source is None:
        return ()
    try:
        top = read_config(source)
    except ConfigError:
        return CHANGES
    return tuple(change for change in CHANGES if change.place is None or not _says(top, change.place))


def _says(top: Fields, place: tuple[str, ...]) -> bool:
    *sections, key = place
    for name in sections:
        top = top.section(name)
    return key in top
