"""What each route answers, as examples, and with which codes: only those that it can answer."""

from __future__ import annotations

from typing import Any

from batchd_api.answers import DONE
from batchd_api.documented_fields import BODIES
from batchd_api.gate import SAFE_METHODS
from batchd_api.permissions import Access, Scope

SENTENCES = {
    400: "A value that cannot be used, or a host name that is not ours.",
    401: "Not logged in, or slowed down after wrong passwords.",
    403: "The user lacks the permission, or the page that sent it is foreign.",
    404: "What the path names does not exist.",
    409: "It exists already, or the job's status does not allow it.",
    413: "The body is larger than the limit.",
    503: "The database cannot be reached or is busy; try again after Retry-After seconds.",
    507: "The disk that holds the database is full.",
}
REFUSES_BY_STATE = frozenset(
    {
        ("POST", "/queue"),
        ("POST", "/schedule"),
        ("POST", "/user"),
        ("PUT", "/job/{job_id}"),
        ("POST", "/job/{job_id}/cancel"),
        ("POST", "/host/{name}/stop"),
        ("POST", "/host/{name}/test"),
        ("GET", "/attempt/{attempt_id}"),
        ("POST", "/attempt/{attempt_id}/output"),
        ("POST", "/attempt/{attempt_id}/exit"),
    }
)
PAGES = frozenset({("GET", "/"), ("GET", "/monitor")})  # of a web client that may lack them
NO_DATABASE = PAGES | {("OPTIONS", "/")}
MORE_CODES: dict[tuple[str, str], dict[int, str]] = {
    ("GET", "/queue/{name}/jobs"): {304: "Unchanged since the ETag in If-None-Match."},
    ("GET", "/job/{job_id}/output"): {
        206: "The range that was asked for.",
        416: "The range lies behind the end.",
    },
}
MEDIA_TYPES: dict[tuple[str, str], str] = {
    ("GET", "/"): "text/html",
    ("GET", "/monitor"): "text/html",
    ("GET", "/docs"): "text/html",
    ("GET", "/metrics"): "text/plain",
    ("GET", "/job/{job_id}/output"): "application/octet-stream",
    ("GET", "/job/{job_id}/stream"): "text/event-stream",
}

_MOMENT = "2026-11-24T22:00:04.120000Z"
_QUEUE = {
    "name": "night", "title": "Renders of the night", "enabled": True, "schedule_name": "night",
    "host_name": None, "autostart_job_count": None, "max_jobs": 2, "run_as": None,
    "work_pool": None, "open": False, "next_change": _MOMENT, "expected_end": None,
    "notify": ["queue-empty:ops"],
}  # fmt: skip
_JOB = {
    "id": 17, "queue": "night", "type": "command", "seq": 3, "user_name": "ann",
    "create_time": "2026-11-24T15:01:43.544300Z", "start_time": None, "status": "Done", "try_count": 0,
    "host_name": None, "notes": None, "started_time": "2026-11-24T22:00:03.900000Z", "result_time": _MOMENT,
    "exit_code": 0, "stdout": "hello\n", "stderr": "", "params": {"command": "echo", "args": "hello"},
    "reason": None, "flow_run_id": None, "flow_run_url": None, "working_directory": None, "timeout": None,
    "notify": None, "progress": None, "expected_end": None,
    "silence": None, "kill_after": None, "output_limit": None, "output_cut": False,
}  # fmt: skip
_RESULTS = [
    {"job_id": 17, "time": _MOMENT, "exit_code": None, "stdout": "hello", "stderr": ""},
    {"job_id": 17, "time": _MOMENT, "exit_code": 0, "stdout": "", "stderr": ""},
]
_TYPE = {
    "name": "command", "title": "Command", "syntax": "Shell", "template": ["$command $args"],
    "on_fail": "continue", "host_name": None, "max_jobs": None,
    "params": [{"name": "command", "type": "String", "title": "Command", "default": ""}],
}  # fmt: skip
_RIGHT = {"permission": "ViewJobs", "queue_name": "night", "type_name": None, "host_name": None}
_METRIC = {
    "name": "batchd.jobs.New", "time": _MOMENT, "daemon": "Both", "kind": "g", "value": 4, "text": None,
    "mean": None, "variance": None, "count": None, "sum": None, "min": None, "max": None,
}  # fmt: skip
_TREE = {"batchd": {"jobs": {"New": {"type": "g", "val": 4}}}}
_HOST = {
    "name": "farm", "defined": True, "state": "ready", "controller": "libvirt", "max_jobs": 2,
    "since": _MOMENT, "idle_since": None, "idle_until": None, "started_by_us": True, "draining": False,
    "trouble": None, "next_try": None, "alarm": None, "jobs": 1, "waiting": 0,
}  # fmt: skip
_HOSTS = ["__default__", "farm"]

ANSWERS: dict[tuple[str, str], Any] = {
    ("OPTIONS", "/"): ["basic"],
    ("GET", "/health"): {
        "alive": True,
        "database": "ok",
        "prefect": "ok",
        "dispatchers": 1,
        "host_alarms": 0,
    },
    ("GET", "/openapi.json"): {"openapi": "3.1.0", "paths": {}},
    ("GET", "/monitor/current/plain"): [_METRIC],
    ("GET", "/monitor/{prefix}/current/plain"): [_METRIC],
    ("GET", "/monitor/current/tree"): _TREE,
    ("GET", "/monitor/{prefix}/current/tree"): _TREE,
    ("GET", "/monitor/{name}/last"): _TREE,
    ("GET", "/monitor/{prefix}/query"): [_METRIC],
    ("GET", "/monitor/jobs"): [{"time": _MOMENT, "queue": "night", "status": "New", "jobs": 4}],
    ("GET", "/stats"): {"night": {"new": 1, "done": 3}},
    ("GET", "/stats/{name}"): {"new": 1, "done": 3},
    ("GET", "/queue"): [_QUEUE],
    ("POST", "/queue"): "night",
    ("GET", "/queue/{name}"): _QUEUE,
    ("POST", "/queue/{name}"): 17,
    ("GET", "/queue/{name}/jobs"): [_JOB],
    ("GET", "/queue/{name}/type"): [_TYPE],
    ("GET", "/queue/{name}/host"): _HOSTS,
    ("GET", "/queue/{name}/type/{type_name}/host"): _HOSTS,
    ("GET", "/jobs"): [_JOB],
    ("GET", "/job/{job_id}"): _JOB,
    ("GET", "/job/{job_id}/results"): _RESULTS,
    ("GET", "/job/{job_id}/results/last"): _RESULTS[-1],
    ("GET", "/attempt/{attempt_id}"): {
        "script": "echo hello",
        "environment": {"BATCHD_JOB_ID": "17"},
        "working_directory": None,
        "timeout_seconds": None,
        "silence_seconds": None,
        "kill_after_seconds": 10,
        "output_limit_bytes": 1073741824,
    },
    ("POST", "/attempt/{attempt_id}/output"): {"wanted": True},
    ("GET", "/schedule"): [
        {"name": "night", "weekdays": None, "time": [{"begin": "22:00:00", "end": "06:00:00"}]}
    ],
    ("POST", "/schedule"): "night",
    ("GET", "/schedule/{name}/openings"): [{"begin": _MOMENT, "end": "2026-11-25T05:00:00.000000Z"}],
    ("GET", "/type"): [_TYPE],
    ("GET", "/type/{name}"): _TYPE,
    ("GET", "/host"): ["farm"],
    ("GET", "/hosts"): [_HOST],
    ("GET", "/host/{name}"): _HOST,
    ("POST", "/host/{name}/test"): {
        "name": "farm",
        "ok": False,
        "steps": [{"step": "address", "ok": False, "text": "10.0.0.7 port 22: no answer"}],
    },
    ("GET", "/whoami"): {"name": "ann", "permissions": [_RIGHT]},
    ("GET", "/user"): ["ann", "root"],
    ("POST", "/user"): "ann",
    ("GET", "/user/{name}/permissions"): [[5, {"user_name": "ann", **_RIGHT}]],
    ("POST", "/user/{name}/permissions"): 5,
}


def is_json(method: str, path: str) -> bool:
    return (method, path) not in MEDIA_TYPES


def answer_example(method: str, path: str) -> Any:
    """None: the answer is no JSON. Actions with nothing to say are done."""
    if not is_json(method, path):
        return None
    return ANSWERS.get((method, path), DONE)


def codes(method: str, path: str, access: Access) -> list[int]:
    """The errors that this route can answer. 405 is none: it is for a method that is not described."""
    is_unsafe = method not in SAFE_METHODS
    possible = {
        400: True,  # by the headers alone
        401: access.scope is not Scope.OPEN,
        403: is_unsafe or access.right is not None,
        404: "{" in path or (method, path) in PAGES,
        409: (method, path) in REFUSES_BY_STATE,
        413: (method, path) in BODIES,
        503: (method, path) not in NO_DATABASE,
        507: is_unsafe,
    }
    return [code for code, can_be in possible.items() if can_be]
