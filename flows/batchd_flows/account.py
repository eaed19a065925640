"""A user of this machine as whom a job runs (`run_as`), told apart from the one that the dispatcher is."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchd_flows.errors import FlowsError

# What a login would find here too. Nothing else of the dispatcher's own is a stranger's to see or to use.
_INHERITED = ("PATH", "LANG", "LANGUAGE", "TZ")


class CannotRunAs(FlowsError):
    """`run_as` names nobody of this machine, or somebody as whom we may run nothing."""


class UserElsewhere(CannotRunAs):
    """On a host behind SSH, its `user_name` is the user of all jobs."""

    def __init__(self, run_as: str, host_name: str) -> None:
        super().__init__(
            f'jobs on the host "{host_name}" run as its user_name; run_as "{run_as}" counts on this machine '
            "alone"
        )


@dataclass(frozen=True, kw_only=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    home: Path
    shell: str

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()

    @property
    def start_directory(self) -> Path:
        """Where its commands run when nothing says where."""
        return self.home if self.home.is_dir() else Path("/")

    def surroundings(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment of a login, with the language and the time zone of `inherited`."""
        kept = {n: v for n, v in inherited.items() if n in _INHERITED or n.startswith("LC_")}
        own = {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}
        return kept | own


def account_of(name: str) -> Account:
    """Raises CannotRunAs."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:  # a NUL in it is a ValueError
        raise CannotRunAs(f'run_as: this machine has no user "{name}"') from error
    home, shell = Path(entry.pw_dir or "/"), entry.pw_shell or "/bin/sh"
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, home=home, shell=shell)


def usable_account(name: str) -> Account:
    """One as whom we may run commands. Raises CannotRunAs with the way out."""
    account = account_of(name)
    if account.is_ours or os.geteuid() == 0:
        return account
    raise CannotRunAs(
        f'run_as: only a dispatcher that runs as root may run jobs as "{name}", and this one runs as '
        f'"{_own_name()}": start it as root, or take run_as away'
    )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
