"""Commands of another user on the machine we run on: theirs alone, their supervisor and its files are ours.

FAULTS.md: G9 G10.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

from batchd_flows.account import CannotRunAs, account_of, usable_account
from batchd_flows.local_machine import LocalMachine
from batchd_flows.supervisor import Launch, RunState, RunStatus, SupervisorError
from tests.waiting import wait_until

OTHER = "nobody"
PATH = "/usr/local/bin:/usr/bin:/bin"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


class Attempt:
    """A command as OTHER, in a folder that only we may enter."""

    def __init__(self, machine: LocalMachine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder

    def start(self, script: str, **options: Any) -> None:
        settings: dict[str, Any] = {"environment": {"PATH": PATH}, "run_as": OTHER, "kill_after_seconds": 1}
        launch = Launch(folder=self.folder, script=textwrap.dedent(script), **(settings | options))
        self.machine.start(launch)

    def run(self, script: str, **options: Any) -> RunStatus:
        self.start(script, **options)
        return self.ended()

    def ended(self) -> RunStatus:
        wait_until(
            lambda: self.machine.status(self.folder).state is not RunState.RUNNING,
            60,
            "it said nothing",
        )
        return self.machine.status(self.folder)

    def said(self, stream: Any = "stdout") -> str:
        return self.machine.read(self.folder, stream, 0, 1 << 20).decode()

    @property
    def aside(self) -> Path:
        return Path((self.folder / "aside").read_text().strip())


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(LocalMachine(), tmp_path / "attempt")


@needs_root
def test_a_command_has_the_ids_and_the_groups_of_its_user_and_no_others(attempt: Attempt) -> None:
    other = account_of(OTHER)
    attempt.run("id -u; id -g; id -G; grep -E 'Cap(Prm|Eff)' /proc/self/status")
    uid, gid, groups, *capabilities = attempt.said().splitlines()
    assert (int(uid), int(gid)) == (other.uid, other.gid)
    assert [int(number) for number in groups.split()] == os.getgrouplist(other.name, other.gid)
    assert [line.split()[1].strip("0") for line in capabilities] == ["", ""]


@needs_root
def test_its_exit_code_and_both_streams_are_recorded(attempt: Attempt) -> None:
    status = attempt.run("echo out; echo err >&2; exit 7")
    assert (status.state, status.exit_code, status.reason) == (RunState.ENDED, 7, None)
    assert (attempt.said(), attempt.said("stderr")) == ("out\n", "err\n")


@needs_root
def test_it_may_open_its_own_output_again(attempt: Attempt) -> None:
    attempt.run("echo out >/dev/stdout; echo err >/dev/stderr")
    assert (attempt.said(), attempt.said("stderr")) == ("out\n", "err\n")


@needs_root
def test_g10_it_reads_neither_the_databases_nor_keys_nor_its_own_supervisors_files(
    attempt: Attempt, tmp_path: Path
) -> None:
    kept = [tmp_path / name for name in ("batchd.db", "prefect.db", "key")]
    for path in kept:
        path.write_text("secret\n")
        path.chmod(0o644)  # the folder alone has to do
    own = [attempt.folder / name for name in ("exit.part", "settings", "mark", "pid", "stdout")]
    words = " ".join(map(str, [*kept, *own]))
    status = attempt.run(f"for f in {words} {attempt.folder} {tmp_path}; do ls $f 2>/dev/null; cat $f; done")
    assert status.exit_code == 1
    assert attempt.said() == ""
    refusals = attempt.said("stderr").splitlines()
    assert len(refusals) == len(kept) + len(own) + 2
    assert all("Permission denied" in line for line in refusals)


@needs_root
def test_g9_it_has_its_three_streams_and_no_other_file_of_ours(attempt: Attempt) -> None:
    # What the script's own shell reads it from lies aside; `ls` has opened the folder that it lists.
    attempt.run("ls /proc/self/fd")
    assert attempt.said().split() == ["0", "1", "2", "3"]


@needs_root
def test_nobody_else_can_list_or_change_what_lies_aside(attempt: Attempt) -> None:
    attempt.start("sleep 60")
    aside = attempt.aside
    assert (aside.stat().st_uid, aside.stat().st_mode & 0o777) == (0, 0o711)
    modes = {path.name: (path.stat().st_uid, path.stat().st_mode & 0o777) for path in aside.iterdir()}
    uid = pwd.getpwnam(OTHER).pw_uid
    assert modes == {"command": (uid, 0o500), "launch": (uid, 0o400), "why": (uid, 0o600)}
    attempt.machine.cancel(attempt.folder, grace_seconds=0)
    attempt.ended()
    attempt.machine.remove(attempt.folder)
    assert not aside.exists()
    assert not attempt.folder.exists()


@needs_root
def test_h7_a_cancel_ends_its_whole_tree(attempt: Attempt, tmp_path: Path) -> None:
    attempt.start("trap '' TERM; setsid sleep 4711 & (trap '' TERM; sleep 4711 & wait) & echo on; wait; wait")
    wait_until(lambda: "on" in attempt.said(), 60, "it said nothing")
    attempt.machine.cancel(attempt.folder, grace_seconds=0.3)
    status = attempt.ended()
    assert (status.state, status.reason) == (RunState.ENDED, "cancelled")
    assert attempt.machine.gone(attempt.folder)


@needs_root
def test_its_time_limit_ends_it(attempt: Attempt) -> None:
    assert attempt.run("sleep 60", timeout_seconds=0.3).reason == "timeout"


@needs_root
def test_what_parameters_put_into_the_environment_is_never_read_by_root(attempt: Attempt) -> None:
    """Each program that gets the variable says its name; none may be the one that is still root."""
    attempt.run("/bin/true", environment={"PATH": PATH, "LD_DEBUG": "libs"})
    programs = re.findall(r"initialize program: (\S+)", attempt.said("stderr"))
    assert programs[-1] == "/bin/true"
    assert not [name for name in programs if "setpriv" in name or "setsid" in name]


@needs_root
def test_a_script_of_another_program_and_odd_names_of_variables_work_too(attempt: Attempt) -> None:
    environment = {"PATH": PATH, "odd-name": "x y", "PS4": "z"}
    attempt.run("#!/usr/bin/env python3\nimport os\nprint(os.environ['odd-name'], os.geteuid())",
                environment=environment)  # fmt: skip
    assert attempt.said() == f"x y {pwd.getpwnam(OTHER).pw_uid}\n"


@needs_root
def test_a_working_directory_that_is_closed_to_it_is_a_sentence(attempt: Attempt, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    status = attempt.run("echo never", working_directory=str(closed))
    assert (status.exit_code, status.reason) == (126, f"working directory {closed} cannot be entered")
    assert attempt.said() == ""


@needs_root
def test_without_a_working_directory_it_begins_at_home_or_at_the_root(attempt: Attempt) -> None:
    attempt.run("pwd")
    assert attempt.said().strip() == str(account_of(OTHER).start_directory)


@needs_root
def test_two_starters_start_it_once(attempt: Attempt, tmp_path: Path) -> None:
    for _ in range(2):
        attempt.start("echo start; sleep 60")
    wait_until(lambda: attempt.said() != "", 60, "it said nothing")
    assert attempt.said() == "start\n"
    attempt.machine.cancel(attempt.folder, grace_seconds=0)
    attempt.ended()


@needs_root
def test_without_setpriv_the_sentence_says_what_to_install(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SupervisorError, match="util-linux"):
        attempt.start("echo never")
    assert attempt.machine.status(attempt.folder).state is RunState.PREPARED


def test_a_user_that_is_ourselves_needs_nothing(attempt: Attempt) -> None:
    attempt.run("id -u", run_as=pwd.getpwuid(os.geteuid()).pw_name)
    assert attempt.said().strip() == str(os.geteuid())
    assert not (attempt.folder / "aside").exists()


def test_a_user_that_does_not_exist_is_a_sentence_and_nothing_starts(attempt: Attempt) -> None:
    with pytest.raises(SupervisorError, match='this machine has no user "no-such-user"'):
        attempt.start("echo never", run_as="no-such-user")
    assert attempt.machine.status(attempt.folder).state is RunState.ABSENT


def test_where_we_are_not_root_the_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(CannotRunAs, match='runs as "4711": start it as root, or take run_as away'):
        usable_account(OTHER)


def test_its_environment_is_that_of_a_login_with_our_language_and_zone() -> None:
    inherited = {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": "/root", "SSH_AUTH_SOCK": "/s", "X": "y"}
    entry = pwd.getpwnam(OTHER)
    assert account_of(OTHER).surroundings(inherited) == {
        "PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": entry.pw_dir, "USER": OTHER, "LOGNAME": OTHER,
        "SHELL": entry.pw_shell,
    }  # fmt: skip
