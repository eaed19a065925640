"""One big file and many small ones to a machine behind SSH, ours beside OpenSSH's own programs, in turns."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from batchd_infra.file_transfer import FileTransfer
from batchd_infra.ssh import SshConnection
from bench.figures import Figure, at_least
from bench.site import Site
from tests.sshd import Sshd, running_sshd

BIG_BYTES = 256 << 20
SMALL_BYTES = 10_000
SMALL_FILES = 1000
ROUNDS = 3


def measure(site: Site) -> Iterator[Figure]:
    """scp and sftp connect anew each time, so the connection is in their time; ours too."""
    rounds, files = (1, 20) if site.quick else (ROUNDS, SMALL_FILES)
    folder = site.folder()
    big, small = folder / "big", folder / "small"
    big.write_bytes(os.urandom(1 << 20) * ((4 << 20 if site.quick else BIG_BYTES) >> 20))
    small.mkdir()
    for number in range(files):
        (small / f"{number}").write_bytes(os.urandom(SMALL_BYTES))
    with running_sshd(folder / "sshd") as sshd:
        there = folder / "there"
        there.mkdir()
        ours, scp = _in_turns(
            rounds,
            lambda: _ours(sshd, big, there / "ours"),
            lambda: _run("scp", sshd, str(big), f"127.0.0.1:{there}/scp"),
        )
        size = big.stat().st_size / 1e6
        yield at_least("one big file to a host", size / ours, size / scp, 0.8, unit="MB/s", name="scp")
        ours, scp, sftp = _in_turns(
            rounds,
            lambda: _ours(sshd, small, there / f"small{time.monotonic_ns()}"),
            lambda: _run("scp", sshd, "-r", str(small), f"127.0.0.1:{there}/scp{time.monotonic_ns()}"),
            lambda: _sftp(sshd, small, there / f"sftp{time.monotonic_ns()}"),
        )
        size = files * SMALL_BYTES / 1e6
        what = f"{files} files of {SMALL_BYTES / 1000:g} kB to a host"
        yield at_least(what, size / ours, size / sftp, 1.0, unit="MB/s", name="sftp -b")
        yield at_least("the same", size / ours, size / scp, 1.0, unit="MB/s", name="scp -r")


def _in_turns(rounds: int, *ways: Callable[[], None]) -> list[float]:
    """The best of each: what disturbs, disturbs all."""
    seconds = [[timed(way) for way in ways] for _ in range(rounds)]
    return [min(column) for column in zip(*seconds, strict=True)]


def timed(way: Callable[[], None]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def _ours(sshd: Sshd, local: Path, remote: Path) -> None:
    connection = SshConnection(sshd.target())
    try:
        FileTransfer(connection).put(local, str(remote))
    finally:
        connection.close()


def _sftp(sshd: Sshd, local: Path, remote: Path) -> None:
    """Into a new folder, as the others: a `mkdir` of one that is there already would print a failure."""
    batch = local.with_name("batch")
    batch.write_text(f"mkdir {remote}\nput -r {local}/. {remote}\n")
    _run("sftp", sshd, "-b", str(batch), "127.0.0.1")


def _run(program: str, sshd: Sshd, *words: str) -> None:
    options = ["-F", "none", "-P", str(sshd.port), "-i", str(sshd.key)]
    for option in (f"UserKnownHostsFile={sshd.known_hosts}", "BatchMode=yes", "StrictHostKeyChecking=yes"):
        options += ["-o", option]
    subprocess.run([program, "-q", *options, *words], check=True, stdout=subprocess.DEVNULL)
