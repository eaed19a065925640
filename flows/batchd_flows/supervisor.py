"""The contract of a machine that runs commands, and the files by which a supervisor is spoken with.

What runs there is `supervisor.sh`; this module makes what it reads and understands what it writes, and
touches no file: where the files are is the machine's business (here, or on a host behind SSH).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import ClassVar, Literal

from batchd_flows.errors import FlowsError

SUPERVISOR = Path(__file__).with_name("supervisor.sh")
MARK_VARIABLE = "BATCHD_ATTEMPT_MARK"
PIPES = ("out", "err")
# The supervisor writes over them late; a line of its own is shorter.
RESERVED: Mapping[str, bytes] = {
    "exit.part": b" " * 60 + b"\n",
    "job": b" " * 60 + b"\n",
    "how": b" " * 60 + b"\n",
}

_ULIMIT_BLOCK_BYTES = 512
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Names that some shell keeps for itself or acts upon: `env` sets them, behind the shell's back.
_SHELLS_OWN = re.compile(
    r"(IFS|ENV|PS[0-9]|PWD|OLDPWD|OPT\w*|PPID|_|RANDOM|SECONDS|LINENO|EPOCH\w*|SRANDOM|E?UID|GROUPS|DIRSTACK"
    r"|FUNC\w*|PIPESTATUS|SHELLOPTS|SHLVL|HIST\w*|MAIL\w*|FCEDIT|BASH\w*|POSIXLY_CORRECT|batchd_\w*)\Z"
)
_REASONS = {126: "not executable", 127: "command not found"}

Stream = Literal["stdout", "stderr"]


class SupervisorError(FlowsError):
    """A command cannot be started, looked at or cleaned up; the message says why."""


class MachineUnreachable(SupervisorError):
    """The machine cannot be reached now: nothing is known of what was asked of it."""


class MachineRefused(MachineUnreachable):
    """It is there, and its key is not trusted, or ours not accepted: trying again alone is no cure."""


class RunState(StrEnum):
    ABSENT = "absent"  # there is no folder
    PREPARED = "prepared"  # a folder, but nothing has ever run
    RUNNING = "running"  # its supervisor lives
    ENDED = "ended"
    LOST = "lost"  # it had started and left no exit code: supervisor killed, or machine restarted


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command, complete. `script` is run by the program its first line names, else by /bin/sh.

    `environment` is all that the command sees, but for PWD, the mark, and a default PATH where none is given.
    `output_limit_bytes` is per stream, rounded up to 512. `run_as`: a user of that machine, where not ours.
    """

    folder: Path
    script: str
    environment: Mapping[str, str]
    working_directory: str | None = None
    timeout_seconds: float | None = None
    silence_seconds: float | None = None
    kill_after_seconds: float = 10
    output_limit_bytes: int | None = None
    run_as: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """`pid` is the supervisor's, on its machine. Ended by a signal: `exit_code` null, `signal` set.

    `reason`: "timeout", "silence", "cancelled", "command not found" (127), "not executable" (126), or a
    sentence. dash and busybox keep quiet about INT and PIPE: these two are seen as exit codes 130 and 141.
    Who was asked to end may still exit with 0: look at `reason` first.
    """

    state: RunState
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output_cut: bool = False


class Machine(ABC):
    """A machine that runs commands. All calls block; any thread or process may make them, at any time.

    Any call may raise MachineUnreachable where the machine is not the one we run on. Then it may have been
    done or not; each may be made again. `here`: its processes are seen from this one. `threads`: where calls
    are to block (None: anywhere), so that one machine that is slow to answer holds up no other.
    """

    here: ClassVar[bool] = False
    host_name: str = "this machine"
    threads: Executor | None = None

    @abstractmethod
    def start(self, launch: Launch) -> None:
        """Run it, once: whoever starts a folder that was started before, or at the same time, does nothing.

        Returns when the supervisor holds the folder. Raises SupervisorError when nothing was started.
        Cancelled before it started: it ends at once, "cancelled", and nothing runs.
        """

    @abstractmethod
    def status(self, folder: Path) -> RunStatus:
        """Never mistakes another process, or one of another boot, for the supervisor.

        ENDED is seen only when all output written by the command itself is there to read. After a cancel or a
        time limit it is seen only when the whole tree is gone.
        """

    @abstractmethod
    def read(self, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`; nothing where there is nothing (yet)."""

    @abstractmethod
    def cancel(self, folder: Path, *, grace_seconds: float) -> None:
        """Ask for the end of the whole tree: TERM once, KILL after the grace. Returns at once.

        Asked again, the earlier deadline holds. Also ends what a killed supervisor left. No folder: nothing.
        """

    @abstractmethod
    def gone(self, folder: Path) -> bool:
        """No process of the attempt is left.

        Out of reach is only what has wiped its environment, left the session and lost its parent, all three;
        where the supervisor may make a control group, only what has moved itself into another one.
        """

    @abstractmethod
    def remove(self, folder: Path) -> None:
        """Raises SupervisorError while it runs, or while a lost one's processes live. No folder: nothing."""


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process, told from every other that has had or will have its number."""

    pid: int
    start_ticks: int
    boot_id: str


def parse_pid(text: str) -> ProcessId | None:
    """The file `pid`; None when it is not whole."""
    try:
        pid, start_ticks, boot_id = text.split()
        return ProcessId(pid=int(pid), start_ticks=int(start_ticks), boot_id=boot_id)
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class Exit:
    """The file `exit`, and the sentence in `why` if the command could not begin."""

    exit_code: int | None
    signal: int | None
    reason: str | None
    output_cut: bool


def parse_exit(text: str, why: str = "") -> Exit | None:
    """None when the file is not whole, as after a power cut."""
    try:
        code, signal_text, cut, ended_by = text.split()
        signal_number = int(signal_text) or None
        exit_code = None if code == "-" or signal_number else int(code)
    except ValueError:
        return None
    reason = None if ended_by == "-" else ended_by
    if reason is None and signal_number:
        reason = f"ended by signal {signal_number} ({_signal_name(signal_number)})"
    if reason is None and exit_code is not None:
        reason = why.strip() or _REASONS.get(exit_code)
    return Exit(exit_code=exit_code, signal=signal_number, reason=reason, output_cut=cut == "1")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time" if number >= signal.SIGRTMIN else "unknown"


def settings_text(launch: Launch) -> bytes:
    """The file `settings`: hundredths of a second, blocks of 512 bytes."""
    limit = launch.output_limit_bytes
    blocks = "unlimited" if limit is None else str(ceil(limit / _ULIMIT_BLOCK_BYTES))
    return (
        f"timeout={_hundredths(launch.timeout_seconds)} silence={_hundredths(launch.silence_seconds)} "
        f"kill_after={_hundredths(launch.kill_after_seconds)} blocks={blocks}\n"
    ).encode()


def _hundredths(seconds: float | None) -> str:
    return "" if seconds is None else str(max(0, ceil(seconds * 100)))


def launch_text(launch: Launch, *, folder: str, working_directory: str) -> bytes:
    """The file `launch`: goes to the directory, sets the environment, and becomes the command.

    Exported where the shell can, since a program's arguments are everybody's to read; by `env` where not.
    The program of the first line is started by us, with the script to read: the script itself may then be
    written to or on a `noexec` disk, and a missing program gets a sentence.
    """
    exported = {name: value for name, value in launch.environment.items() if _exportable(name)}
    odd = {n: v for n, v in launch.environment.items() if n not in exported and n != MARK_VARIABLE}
    program = _program(launch.script)
    quoted = shlex.quote(program[0])
    lines = [
        f"cd -- {shlex.quote(working_directory)} || "
        + _give_up(f"working directory {working_directory} cannot be entered", 126, folder),
        f"[ -e {quoted} ] || " + _give_up(f"interpreter {program[0]!r} not found", 127, folder),
        f"[ -f {quoted} ] && [ -x {quoted} ] || "
        + _give_up(f"interpreter {program[0]!r} is not executable", 126, folder),
        "unset OLDPWD SHLVL",
        *(f"export {name}={shlex.quote(value)}" for name, value in exported.items()),
        'exec ${batchd_leader:+"$batchd_leader"} '
        + ('"$batchd_env" ' + " ".join(shlex.quote(f"{n}={v}") for n, v in odd.items()) + " " if odd else "")
        + shlex.join([*program, f"{folder}/command"]),
    ]
    return file_bytes("\n".join(lines) + "\n", what="the environment")


def _exportable(name: str) -> bool:
    return bool(_SHELL_NAME.match(name)) and not _SHELLS_OWN.match(name) and name != MARK_VARIABLE


def _program(script: str) -> list[str]:
    first, _, _ = script.partition("\n")
    if not first.startswith("#!") or not first[2:].strip():
        return ["/bin/sh"]
    return first[2:].strip(" \t").split(maxsplit=1) if "\r" not in first else [first[2:].strip(" \t")]


def _give_up(sentence: str, code: int, folder: str) -> str:
    said = shlex.quote(sentence)
    return f"{{ echo {said} >&2; echo {said} >{shlex.quote(folder + '/why')}; exit {code}; }}"


def file_bytes(text: str, *, what: str) -> bytes:
    """As the system sees it: bytes that were no UTF-8 come back as they were. Raises SupervisorError."""
    if "\0" in text and what != "the command":
        raise SupervisorError(f"{what} holds a NUL character, which no program can be given")
    try:
        return os.fsencode(text)
    except UnicodeEncodeError as error:
        raise SupervisorError(f"{what} holds a character that cannot be written: {error.reason}") from error
