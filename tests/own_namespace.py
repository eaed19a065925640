"""Daemons that start others, in a mount and a process namespace of their own: when its first process ends,
everything that was started or mounted in it is gone too."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, socket

from tests.waiting import need_programs, need_root, wait_until

START_SECONDS = 40


@contextmanager
def daemon_in_namespace(
    folder: Path, hidden: Sequence[str], command: Sequence[str], socket_file: Path, environ: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """`hidden`: folders of the machine that the daemon sees empty, and that keep nothing of it.

    A shell stays the first process there, because somebody has to reap what the daemon leaves.
    """
    need_root()
    need_programs("unshare", "setpriv", "mount", command[0])
    script = "set -e; mount --make-rprivate /\n"
    script += "".join(f"mkdir -p {d}; mount -t tmpfs -o mode=755 tmpfs {d}\n" for d in hidden)
    script += '"$@" & wait $!\n'
    namespace = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    guarded = ["setpriv", "--pdeathsig", "KILL", *namespace, "sh", "-c", script, "sh", *command]
    log = folder / "daemon.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            guarded, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environ}
        )
    try:
        wait_until(lambda: _listens(daemon, socket_file, log), START_SECONDS, f"{command[0]} listens")
        yield daemon
    finally:
        daemon.kill()
        daemon.wait(START_SECONDS)
        # Its namespace ends a moment after it.
        wait_until(lambda: not _accepts(socket_file), START_SECONDS, f"{command[0]} is gone")


def process_named(folder: Path, name: str) -> int:
    """The daemon itself, by the folder that stands in its command line; as the outer namespace counts."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0].rpartition(b"/")[2] == name.encode() and any(
                str(folder).encode() in w for w in words
            ):
                return int(entry.name)
    raise AssertionError(f"no {name} of {folder} runs")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stopped meanwhile: it accepts connections and answers nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _listens(daemon: subprocess.Popen[bytes], file: Path, log: Path) -> bool:
    assert daemon.poll() is None, log.read_text()
    return _accepts(file)


def _accepts(file: Path) -> bool:
    with suppress(OSError), socket(AF_UNIX) as probe:
        probe.connect(str(file))
        return True
    return False
