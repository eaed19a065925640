"""From an attempt to the command that its machine gets: the second look, the template, the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, RowMapping, select

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, dispatchers, jobs, queues, schedules, users
from batchd_api.errors import NotPermitted
from batchd_api.permissions import Caller, Right
from batchd_api.recorder import Attempt
from batchd_api.services.places import place_of
from batchd_api.services.users import account_of
from batchd_api.world import usable_schedule
from batchd_flows.account import UserElsewhere, usable_account
from batchd_flows.command_lines import CommandLine, compile_command
from batchd_flows.environment import command_environment, job_environment
from batchd_flows.errors import FlowsError
from batchd_flows.file_parameters import FILES, require_files, require_inputs
from batchd_flows.job_files import JobFiles, plan_files
from batchd_flows.job_types import JobType, JobTypes, OnFail, resolve_params
from batchd_flows.limits import KILL_AFTER_SECONDS, LIMIT_NAMES, Limits
from batchd_flows.supervisor import Launch
from batchd_flows.windows import Schedule, is_open
from batchd_infra.errors import InfraError
from batchd_infra.file_roots import FileRoots
from batchd_infra.hosts import Host, Hosts

LEAST_OUTPUT_BYTES = 64 * 1024


class Look(StrEnum):
    """What the second look found, just before the command would start."""

    GO = "go"
    GIVE_BACK = "give back"  # its queue closed or was disabled meanwhile, or its dispatcher is draining
    GONE = "gone"  # the job was deleted or cancelled


class CannotLaunch(Exception):
    """The job cannot run as it stands; the text says why."""


class NoLongerPermitted(CannotLaunch):
    """Its owner has lost the right to create it where it would run; trying again helps nobody."""


@dataclass(frozen=True, kw_only=True)
class There:
    """The host that a job runs on: its record, what a login there has, and where the job's files are."""

    host: Host
    environment: Mapping[str, str]
    files: JobFiles


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """The parts of the configuration that a command depends on. `auth_disabled`: anybody may do anything."""

    zone: ZoneInfo
    attempts_folder: Path
    variables: Mapping[str, str]
    default_syntax: str
    environment: Mapping[str, str]  # the dispatcher's own
    clean_environment: bool = False
    auth_disabled: bool = False
    output_limit_bytes: int | None = None
    free_bytes: Callable[[], int] | None = None  # on the disk of spool and database; None: enough
    file_roots: FileRoots = field(default_factory=FileRoots)


class Launches:
    """Blocking."""

    def __init__(
        self,
        database: Database,
        job_types: JobTypes,
        settings: LaunchSettings,
        hosts: Hosts | None = None,
    ) -> None:
        self._database = database
        self._job_types = job_types
        self._settings = settings
        self._hosts = hosts or Hosts()

    def folder(self, attempt: Attempt) -> Path:
        return self._settings.attempts_folder / attempt.folder_name

    def second_look(self, attempt: Attempt, now: datetime) -> Look:
        """Still wanted, still allowed? Asked after the claim, because time has passed since the plan.

        Raises NoLongerPermitted.
        """
        query = (
            select(
                queues.c.enabled,
                schedules.c.name,
                schedules.c.weekdays,
                schedules.c.time,
                attempts.c.cancel_requested_at,
                jobs.c.user_name,
                jobs.c.queue_name,
                jobs.c.type_name,
                jobs.c.host_name,
                queues.c.host_name.label("queue_host"),
                dispatchers.c.draining,
            )
            .join_from(jobs, queues)
            .join(schedules)
            .join(attempts, attempts.c.job_id == jobs.c.id)
            .join(dispatchers, dispatchers.c.name == attempts.c.dispatcher, isouter=True)
            .where(attempts.c.id == attempt.id, jobs.c.attempt == attempt.number)
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None or row["cancel_requested_at"] is not None:
                return Look.GONE
            schedule = usable_schedule(row["name"], row["weekdays"], row["time"])
            if row["draining"] or not (row["enabled"] and isinstance(schedule, Schedule)):
                return Look.GIVE_BACK
            if not is_open(schedule, now, self._settings.zone):
                return Look.GIVE_BACK
            self._require_permission(connection, row)
        return Look.GO

    def _require_permission(self, connection: Connection, job: RowMapping) -> None:
        """Rights may have been withdrawn since the job was enqueued, for its queue, type or host."""
        if self._settings.auth_disabled:
            return
        owner = account_of(connection, job["user_name"])
        if owner is None:
            # Without any user there is nobody whose rights could be missing: only Prefect's pages start jobs.
            if connection.execute(select(users.c.name).limit(1)).first() is None:
                return
            raise NoLongerPermitted(f'not permitted: there is no user "{job["user_name"]}" any more')
        known = job["type_name"] in self._job_types
        type_host = self._job_types.get(job["type_name"]).host_name if known else None
        try:
            Caller(name=owner.name, grants=owner.grants).require(
                Right.CREATE_JOBS,
                queue=job["queue_name"],
                job_type=job["type_name"],
                place=place_of(job["host_name"], type_host, job["queue_host"]),
            )
        except NotPermitted as error:
            raise NoLongerPermitted(f"not permitted: {error}") from error

    def on_fail(self, attempt: Attempt) -> OnFail:
        """What the job's type says about failures; a type that is gone says nothing."""
        row = self._job(attempt)
        if row is None or row["type_name"] not in self._job_types:
            return OnFail()
        return self._job_types.get(row["type_name"]).on_fail

    def grace_seconds(self, attempt: Attempt) -> float:
        """How long its tree has between TERM and KILL."""
        row = self._job(attempt)
        return KILL_AFTER_SECONDS if row is None else self._limits(attempt, row).grace_seconds

    def _limits(self, attempt: Attempt, row: RowMapping) -> Limits:
        """The job's own before its type's before its host's."""
        limits = Limits(**{name: row[name] for name in LIMIT_NAMES})
        if row["type_name"] in self._job_types:
            limits = limits.before(Limits.of(self._job_types.get(row["type_name"])))
        if attempt.host_name is not None and attempt.host_name in self._hosts:
            limits = limits.before(Limits.of(self._hosts.get(attempt.host_name)))
        return limits

    def may_have_files(self, attempt: Attempt) -> bool:
        """Whether anything may have been copied for it; of a job or type that is gone, nobody knows."""
        row = self._job(attempt)
        if row is None or row["type_name"] not in self._job_types:
            return True
        return any(parameter.type in FILES for parameter in self._job_types.get(row["type_name"]).params)

    def files(
        self, attempt: Attempt, *, input_directory: str, output_directory: str, own_folder: str
    ) -> JobFiles:
        """What is copied to the attempt's host and back; the directories are absolute there.

        Raises CannotLaunch with a sentence.
        """
        row = self._existing(attempt)
        with _sentences():
            job_type = self._job_types.get(row["type_name"])
            _refuse_elsewhere(attempt, _user_of(job_type, row))
            params = resolve_params(job_type, row["params"], variables=self._settings.variables)
            return plan_files(
                job_type,
                params,
                input_directory=input_directory,
                output_directory=output_directory,
                own_folder=own_folder,
            )

    def launch(self, attempt: Attempt, there: There | None = None) -> Launch:
        """The complete command. Raises CannotLaunch with a sentence."""
        row = self._existing(attempt)
        with _sentences():
            job_type = self._job_types.get(row["type_name"])
            run_as = _user_of(job_type, row)
            _refuse_elsewhere(attempt, run_as)
            folder = self._require_files(attempt, job_type, row)
            if there is None:  # elsewhere whoever copies them, or runs it, looks for them
                start = folder or _start_directory(run_as)
                require_inputs(job_type, row["params"], folder=start)
            params = resolve_params(job_type, row["params"], variables=self._settings.variables)
            command = compile_command(
                job_type,
                {**params, **(there.files.values if there else {})},
                host_variables=there.host.variables if there else {},
                global_variables=self._settings.variables,
                default_syntax=self._settings.default_syntax,
            )
            environment = self._environment(attempt, job_type, command, there, run_as)
        limits = self._limits(attempt, row)
        limits = limits.before(Limits(output_limit_bytes=self._settings.output_limit_bytes))
        return Launch(
            folder=self.folder(attempt),
            script=command.script,
            environment=environment,
            working_directory=row["working_directory"]
            or job_type.working_directory
            or (there.host.working_directory if there else None),
            # None and 0 are both no limit by now.
            timeout_seconds=limits.timeout_seconds or None,
            silence_seconds=limits.silence_seconds or None,
            kill_after_seconds=limits.grace_seconds,
            output_limit_bytes=self._what_fits(limits.output_limit_bytes or None),
            run_as=run_as,
        )

    def _what_fits(self, limit_bytes: int | None) -> int | None:
        """At most a quarter of what is free: two streams, and again in the database, which has to go on."""
        if self._settings.free_bytes is None:
            return limit_bytes
        fits = max(self._settings.free_bytes() // 4, LEAST_OUTPUT_BYTES)
        return fits if limit_bytes is None else min(limit_bytes, fits)

    def _require_files(self, attempt: Attempt, job_type: JobType, job: RowMapping) -> str | None:
        """Links may have been swapped since the enqueue, and files of types may have changed.

        The folder that was asked for, where it is one of this machine.
        """
        roots, is_here = self._settings.file_roots, attempt.host_name is None
        if job["working_directory"] and is_here:
            roots.require_working_directory(Path(job["working_directory"]))
        folder = (job["working_directory"] or job_type.working_directory) if is_here else None
        require_files(job_type, job["params"], roots, folder=folder)
        return folder

    def _environment(
        self,
        attempt: Attempt,
        job_type: JobType,
        command: CommandLine,
        there: There | None,
        run_as: str | None,
    ) -> dict[str, str]:
        surroundings = there.environment if there else self._settings.environment
        if run_as is not None:
            surroundings = usable_account(run_as).surroundings(surroundings)
        inherited = job_environment(surroundings, clean=self._settings.clean_environment)
        of_host = there.host.environment if there else {}
        ours = {
            "BATCHD_JOB_ID": str(attempt.job_id),
            "BATCHD_QUEUE": attempt.queue_name,
            "BATCHD_ATTEMPT": str(attempt.number),
        }
        return command_environment(job_type, command, inherited, of_host) | ours

    def _existing(self, attempt: Attempt) -> RowMapping:
        row = self._job(attempt)
        if row is None:
            raise CannotLaunch("the job was deleted")
        return row

    def _job(self, attempt: Attempt) -> RowMapping | None:
        columns = (
            *(jobs.c.type_name, jobs.c.params, jobs.c.working_directory, queues.c.run_as),
            *(jobs.c[name] for name in LIMIT_NAMES),
        )
        query = select(*columns).join_from(jobs, queues).where(jobs.c.id == attempt.job_id)
        with self._database.read() as connection:
            return connection.execute(query).mappings().one_or_none()


def _user_of(job_type: JobType, row: RowMapping) -> str | None:
    """As with hosts: what the type says counts before what the queue says."""
    return job_type.run_as or row["run_as"]


def _start_directory(run_as: str | None) -> str | None:
    """Where a command stands whose job and type name no folder; None: where we do."""
    account = usable_account(run_as) if run_as is not None else None
    return None if account is None or account.is_ours else str(account.start_directory)


def _refuse_elsewhere(attempt: Attempt, run_as: str | None) -> None:
    if run_as is not None and attempt.host_name is not None:
        raise CannotLaunch(str(UserElsewhere(run_as, attempt.host_name)))


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except (FlowsError, InfraError) as error:
        raise CannotLaunch(str(error)) from error
