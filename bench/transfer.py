"""One big file and many small ones to a machine behind SSH, ours beside OpenSSH's scp, in turns."""

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
    """scp connects anew each time, so its connection is in its time; ours too."""
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
        mib = big.stat().st_size / 1e6
        ours, theirs = _in_turns(
            rounds,
            lambda: _ours(sshd, big, there / "ours"),
            lambda: _scp(sshd, str(big), f"127.0.0.1:{there}/scp"),
        )
        yield at_least("one big file to a host", mib / ours, mib / theirs, 0.8, unit="MB/s", name="scp")
        total = files * SMALL_BYTES / 1e6
        ours, theirs = _in_turns(
            rounds,
            lambda: _ours(sshd, small, there / f"small{time.monotonic_ns()}"),
            lambda: _scp(sshd, "-r", str(small), f"127.0.0.1:{there}/scp{time.monotonic_ns()}"),
        )
        what = f"{files} files of {SMALL_BYTES / 1000:g} kB to a host"
        yield at_least(what, total / ours, total / theirs, 1.0, unit="MB/s", name="scp -r")


def _in_turns(rounds: int, ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[float, float]:
    """The best of each: what disturbs, disturbs both."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, function in (("ours", ours), ("theirs", theirs)):
            begun = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - begun)
    return min(times["ours"]), min(times["theirs"])


def _ours(sshd: Sshd, local: Path, remote: Path) -> None:
    connection = SshConnection(sshd.target())
    try:
        FileTransfer(connection).put(local, str(remote))
    finally:
        connection.close()


def _scp(sshd: Sshd, *words: str) -> None:
    options = ["-F", "none", "-P", str(sshd.port), "-i", str(sshd.key)]
    for option in (f"UserKnownHostsFile={sshd.known_hosts}", "BatchMode=yes", "StrictHostKeyChecking=yes"):
        options += ["-o", option]
    subprocess.run(["scp", "-q", *options, *words], check=True, stdout=subprocess.DEVNULL)
