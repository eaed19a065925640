"""Getting a host ready whose machine runs: a login, then its start-up commands, here and there.

Their variables reach them as those of templates do: never as text of the command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from batchd_flows.command_lines import CommandLine, compile_command
from batchd_flows.environment import job_environment
from batchd_flows.errors import FlowsError
from batchd_flows.job_types import JobType
from batchd_infra.host_ledger import HostEntry
from batchd_infra.host_start import HostFault
from batchd_infra.host_targets import HostConnections
from batchd_infra.hosts import Host
from batchd_infra.ssh_errors import TooSlow

COMMAND_SECONDS = 600.0
OUTPUT_BYTES = 16 * 1024  # what is kept of a failing command's words: the last of them
SHOWN_COMMAND = 200
# Its input is the script, which may be for any interpreter, and must not be the command's own input.
_RUN_THERE = (
    'umask 077; f=$(mktemp "${HOME:-.}/.batchd-startup-XXXXXX") && cat >"$f" && chmod 700 "$f" || exit 125; '
    '"$f" </dev/null 2>&1; code=$?; rm -f "$f"; exit "$code"'
)


def host_names(host: Host, entry: HostEntry) -> dict[str, str]:
    """What host commands may use, the host's own variables first."""
    own = {
        "name": host.name,
        "hostname": entry.address or host.host_name,
        "controllerId": host.controller_id,
        "user": host.user_name or "",
        "port": str(host.port),
        "inputDirectory": host.input_directory,
        "outputDirectory": host.output_directory,
    }
    return {**own, **host.variables}


def startup_type(host: Host, command: str) -> JobType:
    """One of its start-up commands as what is compiled and checked."""
    return JobType(name=f"start-up command of host {host.name}", template=tuple(command.split("\n")))


class HostStartup:
    """The pool's `Preparation`. `environment` is the dispatcher's own."""

    def __init__(
        self,
        connections: HostConnections,
        *,
        variables: Mapping[str, str],
        default_syntax: str,
        environment: Mapping[str, str],
        command_seconds: float = COMMAND_SECONDS,
    ) -> None:
        self._connections = connections
        self._variables = variables
        self._default_syntax = default_syntax
        self._environment = job_environment(environment)
        self._command_seconds = command_seconds

    def reach(self, host: Host, entry: HostEntry) -> None:
        connection = self._connections.of(host, entry)
        connection.close()  # the machine at its other end may be gone, without a word
        connection.run("exit 0", timeout_seconds=connection.target.answer_seconds)

    def prepare(self, host: Host, entry: HostEntry) -> None:
        for command in host.startup_commands_on_dispatcher:
            self._run_here(command, self._compiled(host, entry, command))
        for command in host.startup_commands_on_host:
            self._run_there(host, entry, command, self._compiled(host, entry, command))

    def forget(self, host: Host, entry: HostEntry) -> None:
        self._connections.forget(host, entry)

    def forget_address(self, address: str) -> None:
        self._connections.forget_address(address)

    def _compiled(self, host: Host, entry: HostEntry, command: str) -> CommandLine:
        try:
            return compile_command(
                startup_type(host, command),
                {},
                host_variables=host_names(host, entry),
                global_variables=self._variables,
                default_syntax=self._default_syntax,
            )
        except FlowsError as error:
            raise HostFault(f"{_named(command, 'anywhere')} cannot be run: {error}") from error

    def _run_here(self, command: str, line: CommandLine) -> None:
        with tempfile.TemporaryDirectory(prefix="batchd-startup-") as folder:
            script = Path(folder, "command")
            script.write_text(line.script)
            script.chmod(0o700)
            with Path(folder, "output").open("w+b") as output:
                child = subprocess.Popen(
                    [script],
                    env={**self._environment, **line.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    code = child.wait(self._command_seconds)
                except subprocess.TimeoutExpired as error:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
                    raise self._too_slow(command, "the dispatcher") from error
                if code != 0:
                    output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT_BYTES))
                    raise _failure(command, "the dispatcher", code, output.read())

    def _run_there(self, host: Host, entry: HostEntry, command: str, line: CommandLine) -> None:
        where = f"host {host.name}"
        try:
            ended = self._connections.of(host, entry).run(
                f"exec /bin/sh -c '{_RUN_THERE}'",
                line.script.encode(),
                timeout_seconds=self._command_seconds,
            )
        except TooSlow as error:
            raise self._too_slow(command, where) from error
        if ended.exit_code != 0:
            code = ended.exit_code if ended.exit_code is not None else f"signal {ended.signal}"
            raise _failure(command, where, code, (ended.stdout + ended.stderr)[-OUTPUT_BYTES:])

    def _too_slow(self, command: str, where: str) -> HostFault:
        return HostFault(f"{_named(command, where)} did not end in {self._command_seconds:g} s")


def _failure(command: str, where: str, code: int | str, output: bytes) -> HostFault:
    sentence = f"{_named(command, where)} failed: exit code {code}"
    return HostFault(sentence, output.decode(errors="replace"))


def _named(command: str, where: str) -> str:
    first = command.strip().split("\n")[0]
    shown = first if len(first) <= SHOWN_COMMAND else first[:SHOWN_COMMAND] + "…"
    return f'start-up command "{shown}" on {where}'
