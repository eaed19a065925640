"""A job type's command inside somebody's own flow: no queue and no database, the same supervisor.

The command is run where the flow runs, or on its type's host (flow_host.py). Its output goes to whatever
logger it is given; the end of the flow's process by a signal is the end of the command's tree.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from batchd_flows.account import usable_account
from batchd_flows.command_lines import compile_command
from batchd_flows.environment import command_environment, job_environment
from batchd_flows.errors import FlowsError
from batchd_flows.job_types import JobType, TemplateSyntax, resolve_params
from batchd_flows.limits import Limits
from batchd_flows.patience import LOST_AFTER_SECONDS
from batchd_flows.run import Chunk, Outcome, Run
from batchd_flows.supervisor import Launch, Machine, RunState
from batchd_infra.hosts import Host

LOG_LIMIT_BYTES = 1024 * 1024
TAIL_BYTES = 64 * 1024
_NOTHING: Mapping[str, str] = MappingProxyType({})

Log = Callable[[int, str], None]


class CommandFailed(FlowsError):
    """The command did not end with 0; `result` is what is known of it."""

    def __init__(self, type_name: str, result: CommandResult, reason: str | None) -> None:
        self.type_name = type_name
        self.result = result
        why = reason or f"exit code {result.exit_code}"
        super().__init__(f"job type {type_name!r} failed: {why}")


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """`exit_code` null: nobody knows. `stdout` and `stderr` are the ends, at most TAIL_BYTES each."""

    exit_code: int | None
    stdout: str
    stderr: str
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """What of an installation's configuration a command depends on."""

    variables: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    default_syntax: str = TemplateSyntax.SHELL
    environment: Mapping[str, str] = field(default_factory=lambda: _NOTHING)  # the flow's own


@dataclass(frozen=True, kw_only=True)
class OnHost:
    """A host as its command finds it. `files`: paths there, in place of the parameters that name files."""

    host: Host
    environment: Mapping[str, str]
    files: Mapping[str, str]


def launch_of(
    job_type: JobType,
    given: Mapping[str, object],
    folder: Path,
    settings: FlowSettings,
    there: OnHost | None = None,
) -> Launch:
    """The complete command. Raises CannotRunAs, ParameterError, TemplateError."""
    params = resolve_params(job_type, given, variables=settings.variables)
    command = compile_command(
        job_type,
        {**params, **(there.files if there else {})},
        host_variables=there.host.variables if there else {},
        global_variables=settings.variables,
        default_syntax=settings.default_syntax,
    )
    limits = Limits.of(job_type).before(Limits.of(there.host) if there else Limits())
    of_host = there.host.environment if there else {}
    return Launch(
        folder=folder,
        script=command.script,
        environment=command_environment(job_type, command, _surroundings(job_type, settings, there), of_host),
        working_directory=job_type.working_directory or (there.host.working_directory if there else None),
        timeout_seconds=limits.timeout_seconds or None,
        silence_seconds=limits.silence_seconds or None,
        kill_after_seconds=limits.grace_seconds,
        output_limit_bytes=limits.output_limit_bytes or None,
        run_as=job_type.run_as,
    )


def _surroundings(job_type: JobType, settings: FlowSettings, there: OnHost | None) -> Mapping[str, str]:
    """Raises CannotRunAs."""
    if there is not None:
        return job_environment(there.environment)
    own = settings.environment
    return job_environment(usable_account(job_type.run_as).surroundings(own) if job_type.run_as else own)


def run_command(
    type_name: str,
    launch: Launch,
    machine: Machine,
    log: Log,
    *,
    lost_after_seconds: float = LOST_AFTER_SECONDS,
) -> CommandResult:
    """To its end. Raises CommandFailed; what interrupts the caller (a signal) ends the command first."""
    recorder = LogRecorder(log)
    grace = launch.kill_after_seconds
    run = Run(
        machine=machine,
        folder=launch.folder,
        recorder=recorder,
        launch=launch,
        grace_seconds=grace,
        lost_after_seconds=lost_after_seconds,
    )
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batchd-command") as threads:
        following = threads.submit(lambda: asyncio.run(run.perform()))
        try:
            outcome = following.result()
        except BaseException:
            _end(machine, launch)
            raise
    result = recorder.result(outcome)
    if not outcome.succeeded:
        raise CommandFailed(type_name, result, outcome.reason)
    return result


def _end(machine: Machine, launch: Launch) -> None:
    """The follower, in its thread, then sees the end and clears up."""
    if machine.status(launch.folder).state is not RunState.ABSENT:
        machine.cancel(launch.folder, grace_seconds=launch.kill_after_seconds)


class LogRecorder:
    """Output as log records, a record for what came together; cut at LOG_LIMIT_BYTES with a word."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._room = LOG_LIMIT_BYTES
        self._tails = {"stdout": b"", "stderr": b""}
        self._is_cut = False

    async def started(self, at: datetime) -> None:
        pass

    async def output(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._tails[chunk.stream] = (self._tails[chunk.stream] + chunk.data)[-TAIL_BYTES:]
            self._write(chunk)

    async def cut(self) -> None:
        self._is_cut = True
        self._log(logging.WARNING, "The output was longer than its limit, or the disk was full: it is cut.")

    async def ended(self, outcome: Outcome) -> None:
        if outcome.output_cut and not self._is_cut:
            await self.cut()

    def _write(self, chunk: Chunk) -> None:
        if self._room <= 0:
            return
        level = logging.INFO if chunk.stream == "stdout" else logging.WARNING
        self._log(level, chunk.data[: self._room].decode(errors="replace").rstrip("\n"))
        self._room -= len(chunk.data)
        if self._room <= 0:
            self._log(logging.WARNING, "The log of this run ends here; its result has the end of the output.")

    def result(self, outcome: Outcome) -> CommandResult:
        return CommandResult(
            exit_code=outcome.exit_code,
            stdout=self._tails["stdout"].decode(errors="replace"),
            stderr=self._tails["stderr"].decode(errors="replace"),
            ended_at=outcome.ended_at,
        )
