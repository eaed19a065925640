"""A command of another user (`run_as`): the supervisor and its folder stay ours, the command alone is theirs.

What that user has to read lies aside, in a folder outside of ours: ours is closed to everybody. The user is
changed before the command's environment is set: what parameters say there (`GCONV_PATH`, say) is never
read by a program that runs as root.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from batchd_flows.account import Account
from batchd_flows.supervisor import PIPES, Launch, SupervisorError, file_bytes, launch_text

_NAME = "aside"  # the file in the attempt's folder that says where
_WHY_BYTES = 1000

Put = Callable[[Path, bytes], None]


def prepare_aside(
    folder: Path, launch: Launch, account: Account, *, working_directory: str, put_once: Put
) -> bytes:
    """Make it, and return what the supervisor is to become. Whoever comes second finds the same."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SupervisorError("run_as needs the program setpriv, which comes with util-linux: install that")
    # Where it is is written down before it is made: so it is never forgotten.
    put_once(folder / _NAME, f"{tempfile.gettempdir()}/batchd-{secrets.token_hex(16)}\n".encode())
    aside = _aside(folder)
    if aside is None:
        raise SupervisorError(f"the folder {folder} does not say where its command lies")
    with suppress(FileExistsError):
        aside.mkdir(mode=0o700)
    if aside.is_symlink() or aside.stat().st_uid != os.geteuid():
        raise SupervisorError(f"the folder {aside} is somebody else's")
    text = launch_text(launch, folder=str(aside), working_directory=working_directory)
    own = b"batchd_env=$(command -v env)\n" + text
    _give(aside / "command", file_bytes(launch.script, what="the command"), 0o500, account)
    _give(aside / "launch", own, 0o400, account)
    _give(aside / "why", b"", 0o600, account)
    aside.chmod(0o711)
    return _become(setpriv, account, aside)


def open_pipes_to(account: Account, folder: Path) -> None:
    """A command may open its own output again, as /dev/stderr: then the pipe has to be its user's."""
    for name in PIPES:
        os.chown(folder / name, account.uid, account.gid)


def why_aside(folder: Path) -> str:
    """Why the command could not begin; its user may write there whatever it likes, but not much."""
    aside = _aside(folder)
    if aside is None:
        return ""
    try:
        with (aside / "why").open("rb") as file:
            lines = file.read(_WHY_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[0] if lines else ""


def remove_aside(folder: Path) -> None:
    aside = _aside(folder)
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path | None:
    try:
        text = (folder / _NAME).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Path(text) if text else None


def _give(path: Path, content: bytes, mode: int, account: Account) -> None:
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), account.uid, account.gid)
        os.fchmod(file.fileno(), mode)
    beside.rename(path)


def _become(setpriv: str, account: Account, aside: Path) -> bytes:
    who = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    words = [setpriv, *who, "/bin/sh", f"{aside}/launch"]
    return f'cd /\nexec ${{batchd_leader:+"$batchd_leader"}} {shlex.join(words)}\n'.encode()
