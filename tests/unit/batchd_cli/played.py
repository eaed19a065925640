"""A whole installation, played: answers that never change, for what commands look like."""

from typing import Any

from .conftest import COMMAND_TYPE, END_EVENT, JOB, QUEUE, Manager, output_event, status_event
from .test_job import TWO_EXECUTIONS

CLOSED = {
    "code": "window",
    "text": "the window of queue night is closed",
    "until": "2026-11-24T21:00:00.000000Z",
}
PAGE = "http://127.0.0.1:4200/runs/flow-run/0190"
NIGHT = QUEUE | {"open": False, "next_change": "2026-11-24T21:00:00.000000Z"}
DAY = QUEUE | {
    "name": "default",
    "title": "Default",
    "schedule_name": "anytime",
    "open": True,
    "next_change": None,
}
WAITS = JOB | {"reason": CLOSED, "notes": "the weekly report of the whole department, with figures"}
RUNS = JOB | {"id": 12, "status": "Processing", "host_name": "blade", "queue": "default", "seq": 1}
HELD = JOB | {"id": 14, "status": "Postponed", "user_name": "боб"}
FAILED = JOB | {
    "id": 9,
    "status": "Failed",
    "exit_code": 3,
    "try_count": 2,
    "result_time": "2026-11-24T03:05:00.000000Z",
    "flow_run_url": PAGE,
}
NIGHTLY = {
    "name": "nightly",
    "weekdays": ["Monday", "Friday"],
    "time": [{"begin": "22:00:00", "end": "06:00:00"}],
}
OPENING = {"begin": "2026-11-24T21:00:00.000000Z", "end": "2026-11-25T05:00:00.000000Z"}
BLADE: dict[str, Any] = {
    "name": "blade",
    "state": "ready",
    "controller": "libvirt",
    "jobs": 1,
    "waiting": 2,
    "max_jobs": 2,
    "since": "2026-11-24T03:00:00.000000Z",
    "idle_until": None,
    "started_by_us": True,
    "draining": False,
    "trouble": None,
    "next_try": None,
    "alarm": None,
}
SICK = {
    "state": "failed",
    "jobs": 0,
    "waiting": 0,
    "trouble": "Host ночь: its machine does not start.",
    "next_try": "2026-11-24T03:15:00.000000Z",
}
TESTED = {
    "name": "blade",
    "ok": False,
    "steps": [
        {"step": "machine", "ok": True, "text": "controller libvirt: running"},
        {"step": "address", "ok": False, "text": "10.0.0.7 port 22: no answer; see host_name and port"},
    ],
}
METRIC: dict[str, Any] = dict.fromkeys(("text", "mean", "variance", "count", "sum", "min", "max"))
DRY_RUN = {
    "command": "make report",
    "host": "blade",
    "files": [{"name": "input", "type": "InputFile", "path": "figures.csv"}],
    "window_opens": "2026-11-24T21:00:00.000000Z",
    "earliest_start": "2026-11-24T21:00:00.000000Z",
}


def play(manager: Manager) -> None:
    """Everything that the commands of the snapshots ask for."""
    for path, body in GETS.items():
        manager.answer("GET", path, body)
    for line, body in CHANGES.items():
        method, path = line.split()
        manager.answer(method, path, body)
    manager.stream(
        9,
        [
            status_event("Processing"),
            output_event("one\n"),
            output_event("oh\n", stream="stderr"),
            status_event("Failed", exit_code=3),
            END_EVENT,
        ],
    )


GETS: dict[str, object] = {
    "/queue": [DAY, NIGHT],
    "/queue/night": NIGHT,
    "/queue/night/jobs": [WAITS, JOB | {"id": 18, "seq": 4}],
    "/queue/night/jobs?status=all": [FAILED, HELD, WAITS],
    "/jobs?status=processing&limit=100": [RUNS],
    "/jobs?status=waiting&limit=100": [],
    "/jobs?status=new&limit=100": [WAITS],
    "/jobs?status=failed&user=anna": [FAILED],
    "/job/9": FAILED,
    "/job/12": RUNS,
    "/job/14": HELD,
    "/job/17": WAITS,
    "/job/9/results": TWO_EXECUTIONS,
    "/stats": {"night": {"new": 12, "done": 3}, "default": {"processing": 1}},
    "/schedule": [NIGHTLY, {"name": "anytime", "weekdays": None, "time": None}],
    "/schedule/nightly/openings?count=1": [OPENING],
    "/schedule/nightly/openings?count=5": [OPENING],
    "/schedule/anytime/openings?count=1": [{"begin": "2026-11-24T03:00:00.000000Z", "end": None}],
    "/type": [COMMAND_TYPE],
    "/type/command": COMMAND_TYPE,
    "/host": ["blade", "ночь"],
    "/hosts": [BLADE, BLADE | {"name": "ночь"} | SICK],
    "/host/blade": BLADE,
    "/user": ["root", "anna"],
    "/user/anna/permissions": [
        [
            3,
            {
                "user_name": "anna",
                "permission": "CreateJobs",
                "queue_name": "night",
                "type_name": None,
                "host_name": "__default__",
            },
        ]
    ],
    "/monitor/batchd.jobs/current/plain": [
        {"name": "batchd.jobs.New", "time": "2026-11-24T03:00:00.000000Z", "daemon": "Both", "kind": "g"}
        | METRIC
        | {"value": 3}
    ],
}
CHANGES: dict[str, object] = {
    "POST /queue/default": 9,
    "POST /queue/night?dry_run=true": DRY_RUN,
    "POST /job/17/cancel": "done",
    "PUT /job/9": "done",
    "PUT /job/17": "done",
    "PUT /job/14": "done",
    "DELETE /job/17": "done",
    "PUT /queue/night": "done",
    "POST /host/blade/drain": "done",
    "POST /host/blade/test": TESTED,
}
