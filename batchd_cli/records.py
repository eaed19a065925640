"""The records of the REST contract, as they are read. Times are aware; unknown keys are kept out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batchd_cli.record import Record


class Queue(Record):
    """`open` (its window is open now) and `next_change` are None where the manager does not say."""

    name: str
    title: str = ""
    enabled: bool
    schedule_name: str
    host_name: str | None = None
    autostart_job_count: int | None = None
    max_jobs: int | None = None
    run_as: str | None = None
    work_pool: str | None = None
    open: bool | None = None
    next_change: datetime | None = None
    expected_end: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"next_change", "expected_end"})


class Reason(Record):
    """Why a job waits, or why it failed; `until` is the time it may end, where that is known."""

    code: str
    text: str = ""
    until: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"until"})


class Progress(Record):
    """How far a job's latest execution is, as its output says; `eta` at the rate that it has had."""

    percent: float
    text: str = ""
    eta: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"eta"})


class Job(Record):
    """A job with its latest execution; `stdout` and `stderr` are the tail of its output.

    `timeout`, `silence`, `kill_after` (seconds) and `output_limit` (bytes) are its own, None its type's.
    """

    id: int
    queue: str
    type: str
    seq: int
    user_name: str
    create_time: datetime
    start_time: datetime | None = None
    status: str
    try_count: int = 0
    host_name: str | None = None
    notes: str | None = None
    result_time: datetime | None = None
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    params: Mapping[str, str]
    working_directory: str | None = None
    notify: tuple[str, ...] | None = None
    timeout: float | None = None
    silence: float | None = None
    kill_after: float | None = None
    output_limit: int | None = None
    output_cut: bool = False
    reason: Reason | None = None
    progress: Progress | None = None
    expected_end: datetime | None = None
    flow_run_id: str | None = None
    flow_run_url: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        if name == "notify" and value is not None:
            return tuple(value)
        if name == "progress" and value is not None:
            return Progress.from_json(value)
        return _reason(value) if name == "reason" else super()._value(name, value)

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"create_time", "start_time", "result_time", "expected_end"})


ENDED = frozenset({"Done", "Failed"})


def _reason(value: object) -> Reason | None:
    return None if value is None else Reason.from_json(value)


class Result(Record):
    """A piece of one execution's output; the last one of an execution has its exit code and empty text."""

    job_id: int
    time: datetime
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"time"})


class OutputEvent(Record):
    """A piece of output as it comes; `offset` counts the stream's bytes within the attempt."""

    attempt: int
    stream: str
    offset: int
    text: str


class NoteEvent(Record):
    """A sentence of the manager's about the output, such as that it was cut."""

    attempt: int
    text: str


class StatusEvent(Record):
    """A job that has changed."""

    status: str
    attempt: int = 0
    exit_code: int | None = None
    reason: Reason | None = None

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        return _reason(value) if name == "reason" else super()._value(name, value)


class JobFile(Record):
    """A file that is copied for a job: the parameter that names it, and InputFile or OutputFile."""

    name: str
    type: str
    path: str


class DryRun(Record):
    """What an enqueue would make: the command as it would run, where, with which files, and when."""

    command: str
    host: str | None = None
    files: tuple[JobFile, ...] = ()
    window_opens: datetime | None = None
    earliest_start: datetime | None = None

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        if name == "files":
            return tuple(JobFile.from_json(one) for one in value)
        return super()._value(name, value)

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"window_opens", "earliest_start"})


class Opening(Record):
    """A time in which a schedule allows starts; without an end it is always."""

    begin: datetime
    end: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"begin", "end"})


class Health(Record):
    """How the manager is; `database` and `prefect` are `ok` or a sentence."""

    alive: bool
    database: str = ""
    prefect: str = ""
    dispatchers: int = 0


class JobCount(Record):
    """So many jobs of a queue were in a status at a time."""

    time: datetime
    queue: str
    status: str
    jobs: int

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"time"})


class Period(Record):
    begin: str
    end: str


class Host(Record):
    """`state`: off, on, starting, ready, draining, stopping, failed. `jobs` run there, `waiting` want to."""

    name: str
    state: str
    controller: str = ""
    jobs: int = 0
    waiting: int = 0
    max_jobs: int | None = None
    since: datetime | None = None
    idle_until: datetime | None = None
    started_by_us: bool = False
    draining: bool = False
    trouble: str | None = None
    next_try: datetime | None = None
    alarm: str | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"since", "idle_until", "next_try"})


class HostTestStep(Record):
    """`text`: what was found, or what to do about it."""

    step: str
    ok: bool
    text: str = ""


class HostTest(Record):
    """How a host was found."""

    name: str
    ok: bool
    steps: tuple[HostTestStep, ...] = ()

    @classmethod
    def _value(cls, name: str, value: object) -> object:
        if name == "steps" and isinstance(value, list):
            return tuple(HostTestStep.from_json(one) for one in value)
        return super()._value(name, value)


class Schedule(Record):
    """`weekdays` None = any day, `time` None = any time."""

    name: str
    weekdays: tuple[str, ...] | None = None
    time: tuple[Period, ...] | None = None

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        if name == "time" and value is not None:
            return tuple(Period.from_json(one) for one in value)
        return tuple(value) if name == "weekdays" and value is not None else value


class Parameter(Record):
    name: str
    type: str = "String"
    title: str = ""
    default: str = ""


class JobType(Record):
    name: str
    title: str | None = None
    syntax: str | None = None
    template: tuple[str, ...] = ()
    on_fail: Any = "continue"
    host_name: str | None = None
    max_jobs: int | None = None
    params: tuple[Parameter, ...] = ()

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        if name == "params":
            return tuple(Parameter.from_json(one) for one in value)
        return tuple(value) if name == "template" else value


class Permission(Record):
    """`id` is None for one that is to be granted; None elsewhere means any."""

    id: int | None = None
    user_name: str = ""
    permission: str
    queue_name: str | None = None
    type_name: str | None = None
    host_name: str | None = None


class Myself(Record):
    """Who asks, and what they may do."""

    name: str
    permissions: tuple[Permission, ...] = ()

    @classmethod
    def _value(cls, name: str, value: object) -> object:
        if name == "permissions" and isinstance(value, list):
            return tuple(Permission.from_json(one) for one in value)
        return super()._value(name, value)


class Metric(Record):
    """One metric; which figures it has depends on its kind (c counter, g gauge, l label, d distribution)."""

    name: str
    time: datetime
    daemon: str = ""
    kind: str
    value: int | None = None
    text: str | None = None
    mean: float | None = None
    variance: float | None = None
    count: int | None = None
    sum: float | None = None
    min: float | None = None
    max: float | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"time"})
