"""What routes read that their functions do not show: queries, headers, and the keys of bodies."""

from __future__ import annotations

from typing import Any

from batchd_api.job_limits import DURATIONS, SIZE
from batchd_api.periods import MAX_SECONDS
from batchd_api.permissions import Right
from batchd_api.queries import MAX_LIMIT, MAX_OPENINGS, STREAMS
from batchd_api.schemas import MAX_COUNT, Priority
from batchd_api.statuses import JobStatus

Schema = dict[str, Any]
Fields = dict[str, Schema]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_COUNT}
_DURATION: Schema = {
    "type": ["number", "string", "null"],
    "description": "seconds, or such as 10 min; 0: none",
}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_WEEKDAYS: Schema = {"type": ["array", "null"], "items": {"type": "string"}}
_CLOCK: Schema = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"}
_PERIODS: Schema = {
    "type": ["array", "null"],
    "items": {
        "type": "object",
        "properties": {"begin": _CLOCK, "end": _CLOCK},
        "required": ["begin", "end"],
    },
}
_NOTICES: Schema = {
    "type": ["array", "string", "null"],
    "items": {"type": "string"},
    "description": "EVENT[,EVENT…][:TARGET] with fail, done, long, queue-empty; an empty list: nobody",
}
_QUEUE: Fields = {
    "title": _TEXT_OR_NULL,
    "enabled": {"type": ["boolean", "null"]},
    "schedule_name": _TEXT_OR_NULL,
    "host_name": _TEXT_OR_NULL,
    "autostart_job_count": _COUNT_OR_NULL,
    "max_jobs": _COUNT_OR_NULL,
    "run_as": {
        "type": ["string", "null"],
        "description": "its jobs' user on this machine; \"\": the daemon's",
    },
    "work_pool": {
        "type": ["string", "null"],
        "description": 'of another type, whose workers run its jobs; "": dispatchers do',
    },
    "notify": _NOTICES,
}
_JOB: Fields = {
    "params": _TEXTS,
    "host_name": _TEXT_OR_NULL,
    "start_time": _TIME_OR_NULL,
    "notes": _TEXT_OR_NULL,
    "working_directory": _TEXT_OR_NULL,
    "notify": _NOTICES,
}
_LIMITS: Fields = {
    **dict.fromkeys(DURATIONS, _DURATION),
    SIZE: {
        "type": ["integer", "string", "null"],
        "description": "of each stream: bytes, or such as 500M; 0: no limit",
    },
}
_WINDOW: Fields = {"weekdays": _WEEKDAYS, "time": _PERIODS}
_PASSWORD: Fields = {"password": _TEXT}

BODIES: dict[tuple[str, str], tuple[Fields, tuple[str, ...]]] = {
    ("POST", "/attempt/{attempt_id}/output"): (
        {
            "stream": {"enum": list(STREAMS)},
            "offset": {"type": "integer", "minimum": 0, "description": "of the first byte in its stream"},
            "data": {"type": "string", "description": "base64 of at most 65536 bytes; none: it has started"},
            "cut": {"type": "boolean", "description": "what follows is not kept"},
        },
        (),
    ),
    ("POST", "/attempt/{attempt_id}/exit"): (
        {
            "exit_code": {"type": ["integer", "null"], "description": "minus the signal that ended it"},
            "reason": _TEXT_OR_NULL,
            "output_cut": {"type": "boolean"},
        },
        (),
    ),
    ("POST", "/queue"): ({"name": _TEXT, **_QUEUE}, ("name",)),
    ("PUT", "/queue/{name}"): (_QUEUE, ()),
    ("POST", "/queue/{name}"): (
        {"type": _TEXT, **_JOB, **_LIMITS, "status": {"enum": [JobStatus.NEW, JobStatus.POSTPONED]}},
        ("type",),
    ),
    ("PUT", "/job/{job_id}"): (
        {
            **_JOB,
            "status": {"enum": [JobStatus.NEW, JobStatus.POSTPONED, JobStatus.DONE, JobStatus.FAILED]},
            "priority": {"enum": list(Priority)},
            "move": _TEXT,
            "before": _COUNT_OR_NULL,
            "after": _COUNT_OR_NULL,
        },
        (),
    ),
    ("POST", "/schedule"): ({"name": _TEXT, **_WINDOW}, ("name",)),
    ("PUT", "/schedule/{name}"): (_WINDOW, ()),
    ("POST", "/user"): ({"name": _TEXT, **_PASSWORD}, ("name", "password")),
    ("PUT", "/user/{name}"): (_PASSWORD, ("password",)),
    ("POST", "/user/{name}/permissions"): (
        {
            "permission": {"enum": list(Right)},
            "queue_name": _TEXT_OR_NULL,
            "type_name": _TEXT_OR_NULL,
            "host_name": _TEXT_OR_NULL,
        },
        ("permission",),
    ),
}

_JOB_LIST: Fields = {
    "status": {
        "enum": ["all", *(status.lower() for status in JobStatus)],
        "description": "none means new; several with commas",
    },
    "user": {"type": "string", "description": "whose jobs"},
    "type": {"type": "string", "description": "jobs of this type"},
    "host": {"type": "string", "description": "jobs with this host of their own; __default__: with none"},
    "since": {"type": "string", "format": "date-time", "description": "created since then"},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "description": "none: all"},
    "after": {"type": "integer", "minimum": 0, "description": "id of the last job of the page before"},
    "backwards": {"type": "boolean", "description": "true: the last first"},
    "tail": {"type": "integer", "minimum": 0, "description": "bytes of stdout and stderr at most; 0: none"},
}
_PERIOD: Fields = {
    "last": {"type": "integer", "minimum": 0, "maximum": MAX_SECONDS, "description": "the last seconds"},
    "from": {"type": "string", "description": "since this time, in the server's local time"},
    "to": {"type": "string", "description": "until this time, in the server's local time; none: now"},
    "every": {"type": "integer", "minimum": 1, "description": "one record of so many seconds is enough"},
}
QUERIES: dict[tuple[str, str], Fields] = {
    ("GET", "/monitor/{prefix}/query"): _PERIOD,
    ("GET", "/monitor/jobs"): _PERIOD,
    ("GET", "/jobs"): _JOB_LIST,
    ("GET", "/queue/{name}/jobs"): _JOB_LIST,
    ("GET", "/job/{job_id}/output"): {
        "stream": {"enum": list(STREAMS), "description": "none means stdout"},
        "attempt": {"type": "integer", "minimum": 1, "description": "which execution; none: the latest"},
        "offset": {"type": "integer", "minimum": 0, "description": "the byte at which the answer begins"},
    },
    ("GET", "/schedule/{name}/openings"): {
        "count": {"type": "integer", "minimum": 1, "maximum": MAX_OPENINGS, "description": "none means 5"},
    },
}
HEADERS: dict[tuple[str, str], Fields] = {
    ("GET", "/queue/{name}/jobs"): {"If-None-Match": {"type": "string", "description": "the ETag known"}},
    ("GET", "/job/{job_id}/output"): {"Range": {"type": "string", "description": "one range of bytes"}},
    ("GET", "/job/{job_id}/stream"): {
        "Last-Event-ID": {"type": "string", "description": "go on behind this event"}
    },
}


def body_schema(method: str, path: str) -> Schema | None:
    """Unknown keys are ignored, so they are allowed."""
    if (method, path) not in BODIES:
        return None
    fields, required = BODIES[method, path]
    return {"type": "object", "properties": fields} | ({"required": list(required)} if required else {})


def parameters(method: str, path: str) -> list[dict[str, Any]]:
    return [
        _parameter(where, name, schema)
        for where, table in (("query", QUERIES), ("header", HEADERS))
        for name, schema in table.get((method, path), {}).items()
    ]


def _parameter(where: str, name: str, schema: Schema) -> dict[str, Any]:
    described = {key: value for key, value in schema.items() if key != "description"}
    return {
        "in": where,
        "name": name,
        "required": False,
        "schema": described,
        "description": schema.get("description", ""),
    }
