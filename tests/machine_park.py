"""Machines that a controller really starts and stops: each is an `sshd` with a login folder of its own.

The controller is the shipped fake; what it boots is a process, so that a host which is off does not answer.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection
from typing import Any

from batchd_infra.controller import ControllerError, MachineState
from batchd_infra.fake_controller import FakeController, FakeSettings
from batchd_infra.hosts import Host, HostKeyPolicy
from batchd_infra.power import Pace
from tests.prefect_server import free_port
from tests.sshd import new_key, program

QUICK = Pace(first_look_seconds=0.02, look_seconds=0.1, ask_again_seconds=1, patience_seconds=1)
SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)
# A login begins in the machine's own folder, not in that of whoever runs the tests.
LOGIN = """#!/bin/sh
cd {home} && HOME={home} && export HOME
[ ! -e {home}/../more ] || . {home}/../more
case $SSH_ORIGINAL_COMMAND in internal-sftp*) exec {sftp};; esac
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
DIES_WITH_US = '"$0" "$@" & server=$!; read -r _; kill "$server"'  # its input ends when we do
START_SECONDS = 30


@dataclass
class SshdMachine:
    """Off until `boot`. Its keys and its port stay the same."""

    folder: Path
    port: int = field(default_factory=free_port)
    _server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._program = program()
        self.folder.mkdir(mode=0o700, parents=True)
        self.home.mkdir()
        self.host_key = new_key(self.folder / "host_key")
        self.key = new_key(self.folder / "id_ed25519")
        shutil.copy(self.key.with_suffix(".pub"), self.folder / "authorized_keys")
        sftp = next((path for path in SFTP_SERVERS if Path(path).exists()), "/bin/false")
        login = self.folder / "login"
        login.write_text(LOGIN.format(home=self.home, sftp=sftp))
        login.chmod(0o700)
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.host_key}\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nMaxStartups 100\nSetEnv SHLVL=9\n"
            f"Subsystem sftp internal-sftp\nForceCommand {login}\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def is_on(self) -> bool:
        return self._server is not None

    def known_line(self, port: int | None = None) -> str:
        return f"[127.0.0.1]:{port or self.port} {self.host_key.with_suffix('.pub').read_text()}"

    def boot(self) -> None:
        if self._server is not None:
            return
        command = [
            "/bin/sh",
            "-c",
            DIES_WITH_US,
            self._program,
            "-D",
            "-e",
            "-f",
            self.folder / "sshd_config",
        ]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def shut_down(self) -> None:
        """With its connections. Commands go on: they are ours to end."""
        if self._server is not None:
            for pid in _sshds_under(self._server.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._server.kill()
            self._server.wait(START_SECONDS)
            if self._server.stdin is not None:
                self._server.stdin.close()
            self._server = None

    def host(self, name: str, **fields: Any) -> Host:
        """Its file, as an administrator would write it; known hosts know it."""
        named: dict[str, Any] = {
            "name": name,
            "host_name": "127.0.0.1",
            "controller_id": name,
            "port": self.port,
            "user_name": getpass.getuser(),
            "private_key": str(self.key),
            "host_key_policy": HostKeyPolicy.STRICT,
            "startup_time_seconds": 0,
            "shutdown_timeout_seconds": 300,
        }
        return Host(**(named | fields))

    def _answers(self) -> bool:
        with suppress(OSError), create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
        return False


class ParkController(FakeController):
    """`controller: park`, for machines by their `controller_id`."""

    def __init__(self, machines: dict[str, SshdMachine], **settings: float) -> None:
        chosen = {"startup_seconds": 0.1, "shutdown_seconds": 0.1} | settings
        super().__init__("park", FakeSettings(**chosen), pace=QUICK, machines=frozenset(machines))
        self.machines = machines
        self.lock = threading.Lock()
        self.events: list[tuple[str, str]] = []

    def boot(self, host: Host, state: MachineState) -> None:
        super().boot(host, state)
        with self.lock:
            self.events.append(("boot", host.controller_id))
            self.machines[host.controller_id].boot()

    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        super().shut_down(host, state, insist=insist)
        with self.lock:
            self.events.append(("stop", host.controller_id))
            self.machines[host.controller_id].shut_down()

    def turn_on(self, machine: str) -> None:
        """By somebody else."""
        self.machines[machine].boot()
        self.set_state(machine, MachineState.RUNNING)

    def refuse(self, action: str, *sentences: str) -> None:
        """The next calls of `boot` or `shut_down` fail so."""
        self.fail(action, *(ControllerError("?", sentence) for sentence in sentences))


def _sshds_under(pid: int) -> list[int]:
    """The server and whoever speaks for its connections."""
    children: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += [int(child) for child in tasks.read_text().split()]
    found = [one for child in children for one in _sshds_under(child)]
    with suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
            found.append(pid)
    return found


@contextmanager
def machine_park(folder: Path, *names: str) -> Iterator[dict[str, SshdMachine]]:
    machines = {name: SshdMachine(folder / name) for name in names}
    try:
        yield machines
    finally:
        for machine in machines.values():
            machine.shut_down()
