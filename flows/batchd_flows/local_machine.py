"""The machine we run on, as one that runs commands."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from batchd_flows.account import Account, CannotRunAs, usable_account
from batchd_flows.supervisor import (
    PIPES,
    RESERVED,
    SUPERVISOR,
    Launch,
    Machine,
    ProcessId,
    RunState,
    RunStatus,
    Stream,
    SupervisorError,
    file_bytes,
    launch_text,
    parse_exit,
    parse_pid,
    settings_text,
)
from batchd_flows.user_launch import open_pipes_to, prepare_aside, remove_aside, why_aside

_ANSWER_SECONDS = 20
_REMOVE_TRIES = 10
_REMOVE_PAUSE_SECONDS = 0.05
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalMachine(Machine):
    """`shell` runs the supervisor, and `path` is where it finds its tools; neither is the command's."""

    here = True

    def __init__(self, *, shell: Sequence[str] = ("/bin/sh",), path: str = _DEFAULT_PATH) -> None:
        self._shell = tuple(shell)
        self._path = path

    def start(self, launch: Launch) -> None:
        folder = launch.folder.absolute()
        if (folder / "pid").exists():
            return
        try:
            account = _account(launch)
            _prepare(folder, launch, account)
        except CannotRunAs as error:
            raise SupervisorError(str(error)) from error
        except OSError as error:
            raise SupervisorError(f"the folder {folder} cannot be prepared: {error.strerror}") from error
        said = self._ask("start", folder, *self._shell)
        if not (folder / "pid").exists():
            raise SupervisorError(f"the supervisor of {folder} did not start: {said or 'it said nothing'}")

    def status(self, folder: Path) -> RunStatus:
        if not folder.is_dir():
            return RunStatus(state=RunState.ABSENT)
        if (ended := _ended(folder)) is not None:
            return ended
        if not (folder / "pid").exists():
            return RunStatus(state=RunState.PREPARED)
        supervisor = _supervisor(folder)
        if supervisor is not None and _lives(supervisor):
            return RunStatus(
                state=RunState.RUNNING,
                pid=supervisor.pid,
                started_at=_time_of(folder / "pid"),
                output_cut=_says_cut(folder),
            )
        # It may have ended between the two looks.
        return _ended(folder) or RunStatus(
            state=RunState.LOST,
            reason="cancelled" if (folder / "by.cancelled").exists() else None,
            started_at=_time_of(folder / "pid"),
            output_cut=_says_cut(folder),
        )

    def read(self, folder: Path, stream: Stream, offset: int, limit: int) -> bytes:
        try:
            with (folder / stream).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), limit, offset)
        except FileNotFoundError:
            return b""

    def cancel(self, folder: Path, *, grace_seconds: float) -> None:
        state = self.status(folder).state
        if state is RunState.PREPARED:
            # Should it be starting this very moment, then the supervisor's look or ours comes second.
            (folder / "by.cancelled").touch()
            state = self.status(folder).state
        if state in (RunState.RUNNING, RunState.LOST, RunState.ENDED):
            self._ask("cancel", folder.absolute(), str(round(max(0, grace_seconds) * 100)), *self._shell)

    def gone(self, folder: Path) -> bool:
        supervisor = _supervisor(folder)
        if supervisor is None:
            return True
        return not _lives(supervisor) and not self._ask("left", folder.absolute())

    def remove(self, folder: Path) -> None:
        state = self.status(folder).state
        if state is RunState.RUNNING or (state is RunState.LOST and not self.gone(folder)):
            raise SupervisorError(f"the attempt in {folder} still has processes")
        remove_aside(folder)
        if (group := _text(folder / "group").strip()) and Path(group).is_dir():
            self._ask("disband", folder.absolute())
        with _open_pipes(folder):
            _remove_tree(folder)

    def _ask(self, verb: str, folder: Path, *rest: str) -> str:
        """What the script says. In a session of its own: a terminal of ours is none of what it leaves."""
        try:
            answer = subprocess.run(
                [*self._shell, str(SUPERVISOR), verb, str(folder), *rest],
                check=False,
                cwd="/",
                env={"PATH": self._path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=_ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise SupervisorError(
                f"the supervisor of {folder} did not answer in {_ANSWER_SECONDS} s"
            ) from error
        except OSError as error:
            raise SupervisorError(f"{self._shell[0]} cannot be run: {error.strerror}") from error
        return answer.stdout.decode(errors="replace").strip()


@contextmanager
def _open_pipes(folder: Path) -> Iterator[None]:
    """Hold both ends: the readers of a supervisor that was killed early wait for a writer for ever, else."""
    with ExitStack() as held:
        for name in PIPES:
            with suppress(OSError):
                held.callback(os.close, os.open(folder / name, os.O_RDWR | os.O_NONBLOCK))
        yield


def _remove_tree(folder: Path) -> None:
    """A canceller that comes late may make or move a file while we remove: then once more."""
    problem: OSError | None = None
    for _ in range(_REMOVE_TRIES):
        try:
            shutil.rmtree(folder)
        except OSError as error:
            problem = error
        if not folder.exists():
            return
        time.sleep(_REMOVE_PAUSE_SECONDS)
    raise SupervisorError(
        f"the folder {folder} cannot be removed: {problem and problem.strerror}"
    ) from problem


def _account(launch: Launch) -> Account | None:
    """The command's own user, where that is another than ours. Raises CannotRunAs."""
    account = usable_account(launch.run_as) if launch.run_as is not None else None
    return None if account is None or account.is_ours else account


def _working_directory(launch: Launch, account: Account | None) -> str:
    at_home = account.start_directory if account is not None else "."
    directory = Path(launch.working_directory or at_home).absolute()
    if not directory.is_dir():
        raise SupervisorError(f"the working directory {directory} does not exist")
    if not os.access(directory, os.X_OK):
        raise SupervisorError(f"the working directory {directory} cannot be entered")
    return str(directory)


def _prepare(folder: Path, launch: Launch, account: Account | None) -> None:
    """All that the supervisor reads. What is there already stays: a second starter writes the same."""
    directory = _working_directory(launch, account)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is None:
        _put(folder / "command", file_bytes(launch.script, what="the command"), mode=0o700)
        text = launch_text(launch, folder=str(folder), working_directory=directory)
    else:
        text = prepare_aside(folder, launch, account, working_directory=directory, put_once=_put_once)
    _put(folder / "launch", text)
    _put(folder / "settings", settings_text(launch))
    for name, blanks in RESERVED.items():
        _put_once(folder / name, blanks)
    _put_once(folder / "mark", secrets.token_hex(16).encode() + b"\n")
    for name in PIPES:
        with suppress(FileExistsError):
            os.mkfifo(folder / name, 0o600)
    if account is not None:
        open_pipes_to(account, folder)


def _put(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    _write_beside(path, content, mode).rename(path)


def _put_once(path: Path, content: bytes) -> None:
    """Never changes what a supervisor may have read or written; only a file that a power cut emptied."""
    with suppress(FileNotFoundError):  # a supervisor that started meanwhile may just have renamed it
        if path.stat().st_size >= len(content):
            return
        path.unlink()
    beside = _write_beside(path, content, 0o600)
    with suppress(FileExistsError):
        path.hardlink_to(beside)
    beside.unlink()


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return beside


def _ended(folder: Path) -> RunStatus | None:
    text = _text(folder / "exit")
    parsed = parse_exit(text, _text(folder / "why") or why_aside(folder)) if text else None
    if parsed is None:
        return None
    return RunStatus(
        state=RunState.ENDED,
        exit_code=parsed.exit_code,
        signal=parsed.signal,
        reason=parsed.reason,
        started_at=_time_of(folder / "pid"),
        ended_at=_time_of(folder / "exit"),
        output_cut=parsed.output_cut or _says_cut(folder),
    )


def _says_cut(folder: Path) -> bool:
    """`tee` says so at once on its stderr; its exit code, when it has ended."""
    return bool(_text(folder / "cut"))


def _supervisor(folder: Path) -> ProcessId | None:
    return parse_pid(_text(folder / "pid"))


def _lives(process: ProcessId) -> bool:
    if process.boot_id != _text(Path("/proc/sys/kernel/random/boot_id")).strip():
        return False
    fields = _text(Path(f"/proc/{process.pid}/stat")).rpartition(")")[2].split()
    return bool(fields) and fields[0] not in "ZX" and int(fields[19]) == process.start_ticks


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _time_of(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
