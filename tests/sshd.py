"""A real `sshd` of the tests' own, on a free port of 127.0.0.1 and gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

import pytest

from tests.prefect_server import free_port

START_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Sshd:
    port: int
    host_key: Path

    def fingerprint(self) -> str:
        """As OpenSSH says it."""
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", self.host_key], check=True, capture_output=True, text=True
        )
        return shown.stdout.split()[1]


def program() -> str:
    """Without one: a skip at home, a failure where CI is set."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is not None and shutil.which("ssh-keygen"):
        return found
    reason = "there is no sshd on this machine"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_sshd(folder: Path, port: int | None = None) -> Iterator[Sshd]:
    """With a new host key. The same port again is another machine, as a client sees it."""
    sshd = program()
    folder.mkdir(mode=0o700)
    key = folder / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's, for the unprivileged part
    port = port or free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        "PasswordAuthentication no\n"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", config], stdout=log, stderr=log)
    try:
        _wait(server, port, folder / "log")
        yield Sshd(port=port, host_key=key)
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), create_connection(("127.0.0.1", port), timeout=1) as connection:
            if connection.recv(4) == b"SSH-":
                return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text())
        time.sleep(0.05)
