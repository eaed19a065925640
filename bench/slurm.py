"""Slurm on this machine alone: munge, slurmctld and slurmd in a folder, with ports of their own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.places import until
from tests.prefect_server import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
START_SECONDS = 60.0
CONFIGURATION = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=bench Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class SlurmMissing(Exception):
    """Why there is none here, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Slurm:
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def submit(self, script: str) -> None:
        subprocess.run(
            ["sbatch", "--quiet", "--output=/dev/null", f"--wrap={script}"],
            env=self.environment, cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def end_what_is_left(self) -> None:
        """A job's keeper (slurmstepd) has a session of its own, and outlives a daemon that was killed."""
        mark = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        for path in Path("/proc").iterdir():
            if path.name.isdecimal():
                with suppress(OSError):
                    if mark in (path / "environ").read_bytes().split(b"\0"):
                        os.kill(int(path.name), signal.SIGKILL)

    def is_ready(self) -> bool:
        asked = ["sinfo", "--noheader", "--format=%T"]
        answer = subprocess.run(asked, env=self.environment, capture_output=True, text=True, check=False)
        return answer.stdout.strip() == "idle"


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Raises SlurmMissing where it is not installed or does not come up."""
    paths = os.environ["PATH"] + ":/usr/sbin"
    if absent := [name for name in PROGRAMS if shutil.which(name, path=paths) is None]:
        raise SlurmMissing(f"Slurm is not installed here ({', '.join(absent)} missing)")
    place = Slurm(folder=folder)
    _write_files(folder)
    programs: list[subprocess.Popen[bytes]] = []
    try:
        for words in _programs(folder):
            program = shutil.which(words[0], path=paths) or words[0]
            programs.append(_started([program, *words[1:]], place))
            if words[0] == "munged":
                until("munge", (folder / "munge.socket").exists, START_SECONDS)
        try:
            until("Slurm", place.is_ready, START_SECONDS, pause=0.2)
        except TimeoutError as error:
            raise SlurmMissing("Slurm is installed, but its node did not come up here") from error
        yield place
    finally:
        for running in reversed(programs):
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        place.end_what_is_left()


def _write_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            controller_port=free_port(),
            node_port=free_port(),
            cores=os.cpu_count(),
        )
    )


def _programs(folder: Path) -> list[list[str]]:
    munge = ["munged", "--foreground", "--force"]
    for what in ("key-file", "socket", "log-file", "pid-file", "seed-file"):
        munge.append(f"--{what}={folder}/munge.{what.partition('-')[0]}")
    return [munge, ["slurmctld", "-D"], ["slurmd", "-D"]]


def _started(words: list[str], place: Slurm) -> subprocess.Popen[bytes]:
    with (place.folder / "said").open("a") as said:
        return subprocess.Popen(
            words, env=place.environment, cwd=place.folder, stdin=subprocess.DEVNULL,
            stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
