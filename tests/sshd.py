"""A real `sshd` of the tests' own, on a free port of 127.0.0.1 and gone afterwards."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest

from batchd_infra.ssh import SshTarget
from tests.prefect_server import free_port

START_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """`key` is one that may log in; `known_hosts` knows the machine."""

    port: int
    host_key: Path
    key: Path
    known_hosts: Path
    pid: int

    def fingerprint(self) -> str:
        """As OpenSSH says it."""
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", self.host_key], check=True, capture_output=True, text=True
        )
        return shown.stdout.split()[1]

    def log(self) -> str:
        return (self.host_key.parent / "log").read_text()

    def new_key(self, name: str, *options: str, passphrase: str = "", may_log_in: bool = True) -> Path:
        key = new_key(self.key.parent / name, *options, passphrase=passphrase)
        if may_log_in:
            with (self.key.parent / "authorized_keys").open("a") as file:
                file.write(key.with_suffix(".pub").read_text())
        return key

    def target(self, **fields: Any) -> SshTarget:
        """How to reach it: with its key, without the user's own files and agent."""
        named = {
            "address": "127.0.0.1",
            "port": self.port,
            "name": "box",
            "user_name": getpass.getuser(),
            "private_key": self.key,
            "agent": False,
            "known_hosts_file": self.known_hosts,
            "more_known_hosts": (),
        }
        return SshTarget(**(named | fields))


def new_key(path: Path, *options: str, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", path.name, "-f", path, *options]
    subprocess.run(command, check=True)
    return path


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
def running_sshd(folder: Path, port: int | None = None, settings: str = "") -> Iterator[Sshd]:
    """With a new host key. The same port again is another machine, as a client sees it."""
    sshd = program()
    folder.mkdir(mode=0o700)
    host_key = new_key(folder / "host_key")
    key = new_key(folder / "id_ed25519")
    shutil.copy(key.with_suffix(".pub"), folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's, for the unprivileged part
    port = port or free_port()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    config = folder / "sshd_config"
    # With SHLVL no bash takes this for a login and reads its user's files.
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"PasswordAuthentication no\nAuthorizedKeysFile {folder}/authorized_keys\nMaxStartups 100\n"
        f"PermitRootLogin prohibit-password\nPrintMotd no\nSetEnv SHLVL=9\n"
        f"Subsystem sftp internal-sftp\n{settings}"
    )
    dies_with_us = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*dies_with_us, sshd, "-D", "-e", "-f", config], stdout=log, stderr=log)
    try:
        _wait(server, port, folder / "log")
        yield Sshd(port=port, host_key=host_key, key=key, known_hosts=known_hosts, pid=server.pid)
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
