"""A look at one host from end to end: its machine, key, address, login, folders, a command."""

from __future__ import annotations

import posixpath
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchd_flows.ssh_machine import SshMachine
from batchd_flows.supervisor import SupervisorError
from batchd_infra.controller import Controller, ControllerError, MachineState
from batchd_infra.errors import InfraError
from batchd_infra.host_ledger import HostEntry
from batchd_infra.host_targets import ssh_target
from batchd_infra.hosts import Host
from batchd_infra.ssh import SshConnection
from batchd_infra.ssh_errors import SshError

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """`text`: what was found, or what to do about it."""

    step: str
    ok: bool
    text: str


class _Failed(Exception):
    """The steps after this one make no sense."""


def check_host(
    host: Host,
    entry: HostEntry,
    controller: Controller,
    known_hosts_file: Path | None,
    tell: Callable[[Step], None],
) -> None:
    """Blocks; starts nothing and stops nothing. Ends at the first step that the others need."""
    check = _Check(host, entry, controller, known_hosts_file, tell)
    try:
        check.machine()
        check.key()
        check.address()
        check.login()
    except _Failed:
        return
    finally:
        check.close()


class _Check:
    def __init__(
        self,
        host: Host,
        entry: HostEntry,
        controller: Controller,
        known_hosts_file: Path | None,
        tell: Callable[[Step], None],
    ) -> None:
        self._host = host
        self._controller = controller
        self._target = ssh_target(host, entry, known_hosts_file)
        self._connection = SshConnection(self._target)
        self._tell = tell

    def close(self) -> None:
        self._connection.close()

    def machine(self) -> None:
        with self._step("machine", "see the controller's file, and what controls the machine"):
            state = self._controller.status(self._host)
            name = self._host.controller
            if state is MachineState.RUNNING:
                self._well("machine", f"controller {name}: running")
                return
            advice = f"start it first: batch host start {self._host.name}"
            self._bad("machine", f"controller {name}: {state.value}; {advice}")

    def key(self) -> None:
        key = self._target.private_key
        if key is None:
            self._well("key", "the usual keys of the dispatcher's user and its ssh-agent are offered")
        elif not key.is_file():
            self._bad("key", f"{key} is not there; set private_key, or make one with ssh-keygen")
        else:
            self._well("key", f"{key}")

    def address(self) -> None:
        where = f"{self._target.address} port {self._target.port}"
        try:
            with socket.create_connection((self._target.address, self._target.port), CONNECT_SECONDS):
                self._well("address", f"{where} answers")
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            self._bad("address", f"{where}: {why}; see host_name and port, and whether sshd runs there")

    def login(self) -> None:
        with self._step("login", ""):
            said = self._connection.run("exit 0")
            if said.exit_code != 0:
                self._bad(
                    "login", f"the login shell does not do what it is asked: exit code {said.exit_code}"
                )
            self._well("login", f"as {self._target.user_name or 'the user that the dispatcher runs as'}")
        with closing(SshMachine(self._connection, host_name=self._host.name)) as machine:
            self._folders(machine)
            self._command(machine)

    def _folders(self, machine: SshMachine) -> None:
        with self._step("folders", "see input_directory and output_directory"):
            names = dict.fromkeys((self._host.input_directory, self._host.output_directory))
            for name in names:
                folder = machine.absolute(name)
                file = posixpath.join(folder, f".batchd-{secrets.token_hex(6)}")
                script = 'mkdir -p "$d" && : >"$f" && rm "$f"'
                words = f"d={_quoted(folder)}; f={_quoted(file)}; {script}"
                said = self._connection.run(f"exec /bin/sh -c {_quoted(words)}")
                if said.exit_code != 0:
                    why = said.stderr.decode(errors="replace").strip()
                    self._bad("folders", f"{folder} cannot be written: {why}")
            self._well("folders", ", ".join(machine.absolute(name) for name in names))

    def _command(self, machine: SshMachine) -> None:
        advice = "see the login files of that user: they must print nothing and end nothing"
        with self._step("command", advice):
            machine.environment()
            said = self._connection.run("exec uname -snm")
            if said.exit_code != 0:
                why = said.stderr.decode(errors="replace").strip()
                self._bad("command", f"uname ended with exit code {said.exit_code} {why}; {advice}")
            self._well("command", said.stdout.decode(errors="replace").strip() or "it ran")

    def _well(self, step: str, text: str) -> None:
        self._tell(Step(step=step, ok=True, text=text))

    def _bad(self, step: str, text: str) -> None:
        self._tell(Step(step=step, ok=False, text=text))
        raise _Failed

    @contextmanager
    def _step(self, step: str, advice: str) -> Iterator[None]:
        try:
            yield
        except (SshError, ControllerError, SupervisorError, InfraError) as error:
            self._bad(step, f"{error}; {advice}" if advice else str(error))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
