"""The records of the REST contract, as they are read. Times are aware; unknown keys are kept out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from batchd_cli.errors import ProtocolError


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record made from an answer: the class names what it wants, the answer may have more."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Errors: ProtocolError for an answer that is no such record."""
        if not isinstance(data, Mapping):
            raise ProtocolError(f"expected a {cls.__name__.lower()}, got {str(data)[:80]!r}")
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        try:
            return cls(**{name: cls._value(name, value) for name, value in known.items()})
        except (TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"a {cls.__name__.lower()} that lacks something: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The record with the keys and the times of the wire."""
        return {one.name: plain(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        return parse_time(value) if isinstance(value, str) and name in cls._times() else value

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset()


def parse_time(text: str) -> datetime:
    """A time of the wire: UTC, with or without a fraction and a `Z`."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def format_time(time: datetime) -> str:
    """A time for the wire: UTC, six digits, `Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: object) -> Any:
    """A value of a record as JSON has it."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, datetime):
        return format_time(value)
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True, kw_only=True)
class Queue(Record):
    """`open` (its window is open now) and `next_change` are None where the manager does not say."""

    name: str
    title: str = ""
    enabled: bool
    schedule_name: str
    host_name: str | None = None
    autostart_job_count: int | None = None
    max_jobs: int | None = None
    open: bool | None = None
    next_change: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"next_change"})


@dataclass(frozen=True, kw_only=True)
class Reason(Record):
    """Why a job waits, or why it failed; `until` is the time it may end, where that is known."""

    code: str
    text: str = ""
    until: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"until"})


@dataclass(frozen=True, kw_only=True)
class Job(Record):
    """A job with its latest execution; `stdout` and `stderr` are the tail of its output."""

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
    reason: Reason | None = None
    flow_run_id: str | None = None
    flow_run_url: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        return _reason(value) if name == "reason" else super()._value(name, value)

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"create_time", "start_time", "result_time"})


ENDED = frozenset({"Done", "Failed"})


def _reason(value: object) -> Reason | None:
    return None if value is None else Reason.from_json(value)


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class OutputEvent(Record):
    """A piece of output as it comes; `offset` counts the stream's bytes within the attempt."""

    attempt: int
    stream: str
    offset: int
    text: str


@dataclass(frozen=True, kw_only=True)
class StatusEvent(Record):
    """A job that has changed."""

    status: str
    attempt: int = 0
    exit_code: int | None = None
    reason: Reason | None = None

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        return _reason(value) if name == "reason" else super()._value(name, value)


@dataclass(frozen=True, kw_only=True)
class DryRun(Record):
    """What an enqueue would make: the command as it would run, where, with which files, and when."""

    command: str
    host: str | None = None
    files: Any = ()
    window_opens: datetime | None = None
    earliest_start: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"window_opens", "earliest_start"})


@dataclass(frozen=True, kw_only=True)
class Opening(Record):
    """A time in which a schedule allows starts; without an end it is always."""

    begin: datetime
    end: datetime | None = None

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"begin", "end"})


@dataclass(frozen=True, kw_only=True)
class Health(Record):
    """How the manager is; `database` and `prefect` are `ok` or a sentence."""

    alive: bool
    database: str = ""
    prefect: str = ""
    dispatchers: int = 0


@dataclass(frozen=True, kw_only=True)
class JobCount(Record):
    """So many jobs of a queue were in a status at a time."""

    time: datetime
    queue: str
    status: str
    jobs: int

    @classmethod
    def _times(cls) -> frozenset[str]:
        return frozenset({"time"})


@dataclass(frozen=True, kw_only=True)
class Period(Record):
    begin: str
    end: str


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Parameter(Record):
    name: str
    type: str = "String"
    title: str = ""
    default: str = ""


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Permission(Record):
    """`id` is None for one that is to be granted; None elsewhere means any."""

    id: int | None = None
    user_name: str = ""
    permission: str
    queue_name: str | None = None
    type_name: str | None = None
    host_name: str | None = None


@dataclass(frozen=True, kw_only=True)
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
