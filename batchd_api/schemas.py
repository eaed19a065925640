"""What clients send, checked and turned into records. Unknown keys are ignored.

In POST bodies null is an absent key. In PUT bodies it clears `notes`, `start_time` and `autostart_job_count`
and leaves any other field alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from batchd_api.errors import Invalid
from batchd_api.job_limits import limits_in
from batchd_api.permissions import DEFAULT_HOST
from batchd_api.statuses import JobStatus
from batchd_api.times import parse_time
from batchd_flows.limits import Limits
from batchd_flows.notices import Notice, NoticeError, parse_notices

MAX_NAME_LENGTH = 64
MAX_COUNT = 2**31 - 1
MAX_PATH_LENGTH = 4096
MAX_NOTICES = 20
ALL_STATUSES = tuple(JobStatus)
CLEARED_HOST = "*"

_PUNCTUATION = frozenset(" ._@+-")
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "123456789")})


class Priority(StrEnum):
    FIRST = "first"
    MORE = "more"
    LESS = "less"
    LAST = "last"


@dataclass(frozen=True, kw_only=True)
class NewJob:
    type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    host_name: str | None = None
    start_time: datetime | None = None
    notes: str | None = None
    status: JobStatus = JobStatus.NEW
    working_directory: str | None = None
    notify: tuple[Notice, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A place in the queue: right before or right after another job."""

    job_id: int
    is_before: bool


@dataclass(frozen=True, kw_only=True)
class JobChange:
    """`values`: of `host_name notes start_time working_directory notify` what is written, None clears it."""

    status: JobStatus | None = None
    params: Mapping[str, Any] | None = None
    move_to: str | None = None
    priority: Priority | None = None
    beside: Beside | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NewQueue:
    name: str
    title: str
    enabled: bool = True
    schedule_name: str = "anytime"
    host_name: str | None = None
    autostart_job_count: int | None = None
    max_jobs: int | None = None
    notify: tuple[Notice, ...] = ()
    run_as: str | None = None
    work_pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewSchedule:
    """`weekdays` and `time` as sent; what they mean is judged where windows are understood."""

    name: str
    weekdays: list[str] | None = None
    time: list[dict[str, str]] | None = None


def new_job(body: Mapping[str, Any]) -> NewJob:
    status = _status(body, "status") or JobStatus.NEW
    if status not in (JobStatus.NEW, JobStatus.POSTPONED):
        raise Invalid(f'A new job is "New" or "Postponed", not "{status}".')
    host = text_in(body, "host_name")
    return NewJob(
        type=required_in(body, "type"),
        params=_params(body) or {},
        host_name=None if host == DEFAULT_HOST else host,
        start_time=_time(body, "start_time"),
        notes=text_in(body, "notes"),
        status=status,
        working_directory=_folder(body) or None,
        notify=_notices(body) or (),
        limits=limits_in(body),
    )


def job_change(body: Mapping[str, Any]) -> JobChange:
    values: dict[str, Any] = _host(body)
    if "notes" in body:
        values["notes"] = text_in(body, "notes")
    if "start_time" in body:
        values["start_time"] = _time(body, "start_time")
    if (folder := _folder(body)) is not None:
        values["working_directory"] = folder or None
    if (notices := _notices(body)) is not None:
        values["notify"] = notices
    return JobChange(
        status=_status(body, "status"),
        params=_params(body),
        move_to=text_in(body, "move") or text_in(body, "queue_name"),
        priority=_priority(body),
        beside=_beside(body),
        values=values,
    )


def new_queue(body: Mapping[str, Any]) -> NewQueue:
    name = checked_name("queue", required_in(body, "name"))
    enabled, schedule = _flag(body, "enabled"), text_in(body, "schedule_name")
    return NewQueue(
        name=name,
        title=text_in(body, "title") or name,
        enabled=True if enabled is None else enabled,
        schedule_name="anytime" if schedule is None else schedule,
        host_name=text_in(body, "host_name"),
        autostart_job_count=_count(body, "autostart_job_count"),
        max_jobs=_count(body, "max_jobs"),
        notify=_notices(body) or (),
        run_as=_run_as(body),
        work_pool=text_in(body, "work_pool") or None,
    )


def _run_as(body: Mapping[str, Any]) -> str | None:
    name = text_in(body, "run_as") or None
    return None if name is None else checked_name("user", name)


def queue_change(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns to write. `max_jobs` null leaves the limit alone, as the contract says; 0 takes it away,
    as an empty `run_as` or `work_pool` does.
    """
    values: dict[str, Any] = _host(body)
    given = {
        "title": text_in(body, "title"),
        "enabled": _flag(body, "enabled"),
        "schedule_name": text_in(body, "schedule_name"),
    }
    values |= {key: value for key, value in given.items() if value is not None}
    if "autostart_job_count" in body:
        values["autostart_job_count"] = _count(body, "autostart_job_count")
    max_jobs = _count(body, "max_jobs", minimum=0)
    if max_jobs is not None:
        values["max_jobs"] = max_jobs or None
    if text_in(body, "run_as") is not None:
        values["run_as"] = _run_as(body)
    if (pool := text_in(body, "work_pool")) is not None:
        values["work_pool"] = pool or None
    if (notices := _notices(body)) is not None:
        values["notify"] = notices
    return values


def new_schedule(body: Mapping[str, Any]) -> NewSchedule:
    return NewSchedule(
        name=checked_name("schedule", required_in(body, "name")),
        weekdays=_weekdays(body.get("weekdays")),
        time=_periods(body.get("time")),
    )


def schedule_change(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns to write; null is any, and an absent key stays as it is."""
    readers: dict[str, Callable[[object], object]] = {"weekdays": _weekdays, "time": _periods}
    return {key: read(body[key]) for key, read in readers.items() if key in body}


def checked_name(kind: str, name: str) -> str:
    """A name for something that REST makes; letters and digits of any script."""
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise Invalid(f"The name of a {kind} has 1 to {MAX_NAME_LENGTH} characters.")
    if not all(_may_stand_in_name(c) for c in name):
        raise Invalid(f'The name of a {kind} is made of letters, digits, space and "._@+-"; "{name}" is not.')
    if name[0] in ".- " or name[-1] in ". " or name.partition(".")[0].lower() in _DEVICES:
        raise Invalid(f'A {kind} cannot be called "{name}".')
    return name


def _may_stand_in_name(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character) in (
        *("Lu", "Ll", "Lt", "Lm", "Lo", "Nd"),
        *("Mn", "Mc"),  # the vowels of many scripts
    )


def parse_statuses(text: str | None, *, default: Collection[JobStatus]) -> tuple[JobStatus, ...]:
    """`?status=`: one status in either spelling, or `all`."""
    if text is None:
        return tuple(default)
    return ALL_STATUSES if text.lower() == "all" else (parse_status(text),)


def parse_status(text: str) -> JobStatus:
    for status in JobStatus:
        if text.lower() == status.lower():
            return status
    raise Invalid(f'There is no status "{text}"; the statuses are {", ".join(JobStatus)}.')


def parse_flag(name: str, text: str | None) -> bool:
    """`?forced=`"""
    if text is None or text.lower() == "false":
        return False
    if text.lower() == "true":
        return True
    raise Invalid(f'"{name}" is true or false, not "{text}".')


def text_in(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    return None if value is None else _clean(key, value)


def _clean(key: str, value: object) -> str:
    """A string that every database, file and environment can hold."""
    if not isinstance(value, str):
        raise Invalid(f'"{key}" must be a string.')
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise Invalid(f'"{key}" has a character that is no text.')
    return value


def required_in(body: Mapping[str, Any], key: str) -> str:
    value = text_in(body, key)
    if value is None:
        raise Invalid(f'"{key}" is missing.')
    return value


def _flag(body: Mapping[str, Any], key: str) -> bool | None:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise Invalid(f'"{key}" must be true or false.')
    return value


def _count(body: Mapping[str, Any], key: str, *, minimum: int = 1) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= MAX_COUNT:
        raise Invalid(f'"{key}" must be a whole number from {minimum} to {MAX_COUNT}.')
    return value


def _time(body: Mapping[str, Any], key: str) -> datetime | None:
    value = text_in(body, key)
    return None if value is None else parse_time(value)


def _status(body: Mapping[str, Any], key: str) -> JobStatus | None:
    value = text_in(body, key)
    return None if value is None else parse_status(value)


def _priority(body: Mapping[str, Any]) -> Priority | None:
    value = text_in(body, "priority")
    if value is None:
        return None
    try:
        return Priority(value.lower())
    except ValueError:
        raise Invalid(f'There is no priority "{value}"; it is {", ".join(Priority)}.') from None


def _beside(body: Mapping[str, Any]) -> Beside | None:
    found = [
        Beside(job_id=number, is_before=key == "before")
        for key in ("before", "after")
        if (number := _count(body, key)) is not None
    ]
    if len(found) > 1:
        raise Invalid('"before" and "after" cannot both be given.')
    return found[0] if found else None


def _folder(body: Mapping[str, Any]) -> str | None:
    """`working_directory`; the empty string means: where the type says."""
    value = text_in(body, "working_directory")
    if value and (not value.startswith("/") or len(value) > MAX_PATH_LENGTH or "\n" in value):
        raise Invalid(
            '"working_directory" must be the full path of a folder, such as /data/films, in one line.'
        )
    return value


def _notices(body: Mapping[str, Any]) -> tuple[Notice, ...] | None:
    """A text or a list of texts; none of them is a wish to hear nothing any more."""
    value = body.get("notify")
    if value is None:
        return None
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > MAX_NOTICES:
        raise Invalid('"notify" must be a text such as "fail,done:ops", or a list of such.')
    try:
        return parse_notices(_clean("notify", text) for text in texts if text != "")
    except NoticeError as error:
        raise Invalid(f'"notify": {error}.') from error


def _params(body: Mapping[str, Any]) -> dict[str, Any] | None:
    value = body.get("params")
    if value is not None and not isinstance(value, dict):
        raise Invalid('"params" must be an object of names and strings.')
    return value


def _host(body: Mapping[str, Any]) -> dict[str, str | None]:
    value = text_in(body, "host_name")
    if value is None:
        return {}
    return {"host_name": None if value in (CLEARED_HOST, DEFAULT_HOST) else value}


def _weekdays(value: object) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise Invalid('"weekdays" must be a list of English day names.')
    return [_clean("weekdays", day) for day in value]


def _periods(value: object) -> list[dict[str, str]] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(period, dict) for period in value):
        raise Invalid('"time" must be a list of {"begin": "HH:MM:SS", "end": "HH:MM:SS"}.')
    return [{key: required_in(period, key) for key in ("begin", "end")} for period in value]
