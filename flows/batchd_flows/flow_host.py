"""The host of a job type inside somebody's own flow: got ready, files copied there and back, stopped.

There is no database: that a flow has started a machine stands in a file beside the runs' folders, and a lock
tells who uses it. The last flow of this machine that uses a host stops what a flow has started, also after a
crash. It does so at once: nobody is left to wait for `shutdown_timeout`.
"""

from __future__ import annotations

import fcntl
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batchd_flows.errors import FlowsError
from batchd_flows.file_copies import CopyFailed, FileCopies
from batchd_flows.flow_command import (
    CommandFailed,
    CommandResult,
    FlowSettings,
    Log,
    OnHost,
    launch_of,
    run_command,
)
from batchd_flows.host_startup import HostStartup
from batchd_flows.job_files import JobFiles, own_folders, plan_files
from batchd_flows.job_types import JobType, resolve_params
from batchd_flows.ssh_machine import STATE_FOLDER, SshMachine
from batchd_infra.controller import Controller, ControllerError
from batchd_infra.controllers import Controllers, load_controllers
from batchd_infra.file_roots import FileRoots
from batchd_infra.file_transfer import FileTransfer
from batchd_infra.host_ledger import HostEntry, HostPhase, MemoryLedger
from batchd_infra.host_start import HostStart, StartPace
from batchd_infra.host_targets import HostConnections
from batchd_infra.hosts import Host, Hosts, load_hosts
from batchd_infra.ssh_errors import SshError

ATTEMPTS_FOLDER = "attempts-of-flows"
OWN_FOLDER = "batchd-flow-"
_PLAIN = re.compile(r"[^A-Za-z0-9._-]")


class HostNotUsable(FlowsError):
    """A flow's host did not get ready; the sentence says why."""

    def __init__(self, name: str, why: str, output: str | None = None) -> None:
        self.output = output
        super().__init__(f"host {name!r} cannot be used: {why}")


@dataclass(frozen=True, kw_only=True)
class FlowHosts:
    """What of an installation's configuration a flow needs for its host."""

    hosts: Hosts
    controllers: Controllers
    known_hosts_file: Path | None = None
    pace: StartPace | None = None

    @classmethod
    def load(cls, folders: tuple[Path, ...], known_hosts_file: Path | None) -> FlowHosts:
        """A file that is wrong is as if it were not there: `batchd-admin check-config` says what is."""
        hosts, _ = load_hosts(folders)
        controllers, _ = load_controllers(folders)
        return cls(hosts=hosts, controllers=controllers, known_hosts_file=known_hosts_file)


def run_on_host(
    job_type: JobType,
    given: Mapping[str, object],
    folder: Path,
    settings: FlowSettings,
    known: FlowHosts,
    log: Log,
) -> CommandResult:
    """The command of a job type that has a host, there. `folder` is the run's; nothing is made in it.

    Raises HostNotFound, ControllerNotFound, HostNotUsable, CommandFailed, ParameterError, TemplateError.
    """
    host = known.hosts.get(job_type.host_name or "")
    if known.known_hosts_file is not None:
        known.known_hosts_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    controller = known.controllers.of(host)
    connections = HostConnections(known.known_hosts_file)
    try:
        with _in_use(folder.parent, host, controller, log) as note:
            entry = _ready(host, controller, connections, settings, known, note)
            run = _Run(job_type, host, FileTransfer(connections.of(host, entry)), settings, log)
            machine = SshMachine(
                connections.of(host, entry),
                host_name=host.name,
                attempts_folder=f"{host.scripts_directory or STATE_FOLDER}/{ATTEMPTS_FOLDER}",
            )
            try:
                return run.perform(machine, given, folder)
            finally:
                machine.close()
    finally:
        connections.close()


# Its machine


@contextmanager
def _in_use(folder: Path, host: Host, controller: Controller, log: Log) -> Iterator[Path]:
    """The file that says that a flow has started the host's machine; stops it when we are the last."""
    plain = _PLAIN.sub("_", host.name)
    note = folder / f"host-{plain}.started"
    with (folder / f"host-{plain}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield note
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log(logging.DEBUG, f"host {host.name} is in use by another flow")
            else:
                if note.exists():
                    _stop(host, controller, note, log)


def _stop(host: Host, controller: Controller, note: Path, log: Log) -> None:
    """What does not stop is tried again by the next flow that has used it; a result is not lost for that."""
    log(logging.INFO, f"batchd: host {host.name} is stopped")
    try:
        controller.stop(host)
    except ControllerError as error:
        log(logging.ERROR, f"batchd: host {host.name} should be off and is not: {error}")
    else:
        note.unlink(missing_ok=True)


class _NotedLedger(MemoryLedger):
    """Writes into the file, before a machine is started, that it is ours."""

    def __init__(self, note: Path) -> None:
        super().__init__()
        self._note = note

    def write(self, name: str, change: Callable[[HostEntry], HostEntry]) -> HostEntry:
        entry = super().write(name, change)
        if entry.ours:
            self._note.touch()
        return entry


def _ready(
    host: Host,
    controller: Controller,
    connections: HostConnections,
    settings: FlowSettings,
    known: FlowHosts,
    note: Path,
) -> HostEntry:
    """Started if it is off, and its start-up commands run. Raises HostNotUsable."""
    ledger = _NotedLedger(note)
    startup = HostStartup(
        connections,
        variables=settings.variables,
        default_syntax=settings.default_syntax,
        environment=settings.environment,
    )
    start = HostStart(
        ledger, startup, threading.Event(), clock=lambda: datetime.now(UTC), pace=known.pace or StartPace()
    )
    start.run(host, controller)
    entry = ledger.entries()[host.name]
    if entry.phase is not HostPhase.READY:
        raise HostNotUsable(host.name, entry.trouble or "it did not get ready")
    if entry.fault:
        raise HostNotUsable(host.name, entry.fault, entry.fault_output)
    return entry


# Its job


class _Run:
    def __init__(
        self, job_type: JobType, host: Host, transfer: FileTransfer, settings: FlowSettings, log: Log
    ) -> None:
        self._job_type = job_type
        self._host = host
        self._transfer = transfer
        self._settings = settings
        self._log = log

    def perform(self, machine: SshMachine, given: Mapping[str, object], folder: Path) -> CommandResult:
        own = f"{OWN_FOLDER}{folder.name}"
        files = self._plan(machine, given, own)
        there = OnHost(host=self._host, environment=machine.environment(), files=files.values)
        launch = launch_of(self._job_type, given, folder, self._settings, there)
        copies = FileCopies(
            transfer=self._transfer,
            host_name=self._host.name,
            roots=FileRoots(),  # the flow's user may use what it may use
            staging=folder.with_name(f"{folder.name}.arriving"),
            say=lambda line: self._log(logging.INFO, line),
            checksum=self._host.checksum,
        )
        try:
            self._send(copies, files)
            result = run_command(
                self._job_type.name,
                launch,
                machine,
                self._log,
                lost_after_seconds=self._host.lost_after_seconds,
            )
            self._fetch(copies, files, result)
        finally:
            self._clean(copies, files, own)
        return result

    def _plan(self, machine: SshMachine, given: Mapping[str, object], own: str) -> JobFiles:
        return plan_files(
            self._job_type,
            resolve_params(self._job_type, given, variables=self._settings.variables),
            input_directory=machine.absolute(self._host.input_directory),
            output_directory=machine.absolute(self._host.output_directory),
            own_folder=own,
        )

    def _send(self, copies: FileCopies, files: JobFiles) -> None:
        try:
            copies.send(files)
        except CopyFailed as error:
            nothing = CommandResult(exit_code=None, stdout="", stderr="")
            raise CommandFailed(self._job_type.name, nothing, f"input transfer: {error}") from error

    def _fetch(self, copies: FileCopies, files: JobFiles, result: CommandResult) -> None:
        try:
            copies.fetch(files)
        except CopyFailed as error:
            raise CommandFailed(self._job_type.name, result, f"output transfer: {error}") from error

    def _clean(self, copies: FileCopies, files: JobFiles, own: str) -> None:
        if not files:
            return
        try:
            copies.clean(own_folders(self._host.input_directory, self._host.output_directory, own))
        except SshError as error:
            self._log(logging.WARNING, f"batchd: files of this run stay on {self._host.name}: {error}")
        if copies.staging.is_dir():
            copies.staging.rmdir()
