"""Command lines of existing scripts, as they stand there, and what they ask of the manager."""

from typing import Any

import pytest

from .conftest import COMMAND_TYPE, JOB, QUEUE, Batch, Manager

CLOCK = "2036-11-24T21:00:00.000000Z"
RESULT = {
    "job_id": 5,
    "time": "2026-11-24T03:00:00.000000Z",
    "exit_code": 0,
    "stdout": "",
    "stderr": "",
}

LINES: list[tuple[list[str], list[tuple[str, str, Any]]]] = [
    (
        ["enqueue", "echo", "hello", "world"],
        [
            ("GET", "/type/command", None),
            (
                "POST",
                "/queue/default",
                {"type": "command", "params": {"command": "echo", "args": "hello world"}},
            ),
        ],
    ),
    (
        ["enqueue", "-q", "night", "-t", "command", "-h", "blade", "-n", "remark", "-p", "command=make"],
        [
            (
                "POST",
                "/queue/night",
                {"type": "command", "params": {"command": "make"}, "host_name": "blade", "notes": "remark"},
            )
        ],
    ),
    (
        [
            "enqueue",
            "--queue=night",
            "--type=command",
            "--start",
            "24.11.2036 22:00",
            "--parameter",
            "command",
        ],
        [("POST", "/queue/night", {"type": "command", "params": {"command": ""}, "start_time": CLOCK})],
    ),
    (["ls"], [("GET", "/queue", None)]),
    (["ls", "night"], [("GET", "/queue/night/jobs", None)]),
    (["ls", "-s", "failed", "night"], [("GET", "/queue/night/jobs?status=failed", None)]),
    (["ls", "--status=Done", "night"], [("GET", "/queue/night/jobs?status=done", None)]),
    (["ls", "night", "--all"], [("GET", "/queue/night/jobs?status=all", None)]),
    (["job", "5"], [("GET", "/job/5", None)]),
    (["job", "--view", "--description", "5"], [("GET", "/job/5", None)]),
    (["job", "-r", "5"], [("GET", "/job/5/results", None)]),
    (["job", "--result", "--all", "5"], [("GET", "/job/5/results", None)]),
    (["job", "5", "-p", "first"], [("PUT", "/job/5", {"priority": "first"})]),
    (["job", "-u", "5", "--priority", "u"], [("PUT", "/job/5", {"priority": "more"})]),
    (["job", "5", "--priority=l"], [("PUT", "/job/5", {"priority": "last"})]),
    (["job", "5", "-p", "d"], [("PUT", "/job/5", {"priority": "less"})]),
    (["job", "-u", "5", "-m", "night"], [("PUT", "/job/5", {"move": "night"})]),
    (["job", "5", "--move=night"], [("PUT", "/job/5", {"move": "night"})]),
    (["job", "5", "--at", "any"], [("PUT", "/job/5", {"start_time": None})]),
    (["job", "5", "--start", "2036/11/24 22:00"], [("PUT", "/job/5", {"start_time": CLOCK})]),
    (["job", "5", "-s", "NEW"], [("PUT", "/job/5", {"status": "New"})]),
    (["job", "5", "--status", "postponed"], [("PUT", "/job/5", {"status": "Postponed"})]),
    (["job", "5", "-h", "blade"], [("PUT", "/job/5", {"host_name": "blade"})]),
    (["job", "5", "--notes", "remark"], [("PUT", "/job/5", {"notes": "remark"})]),
    (["job", "-d", "5"], [("DELETE", "/job/5", None)]),
    (["job", "--delete", "5"], [("DELETE", "/job/5", None)]),
    (["queue", "night"], [("GET", "/queue/night", None)]),
    (
        ["queue", "-a", "night", "-s", "nightly", "-h", "blade", "-n", "Nights", "-e", "--autostart", "3"],
        [
            (
                "POST",
                "/queue",
                {
                    "name": "night",
                    "schedule_name": "nightly",
                    "host_name": "blade",
                    "title": "Nights",
                    "enabled": True,
                    "autostart_job_count": 3,
                },
            )
        ],
    ),
    (["queue", "-u", "night", "--disable"], [("PUT", "/queue/night", {"enabled": False})]),
    (["queue", "night", "-D"], [("PUT", "/queue/night", {"enabled": False})]),
    (["queue", "night", "--name", "Nights"], [("PUT", "/queue/night", {"title": "Nights"})]),
    (["queue", "night", "--autostart=disable"], [("PUT", "/queue/night", {"autostart_job_count": None})]),
    (["queue", "-d", "-f", "night"], [("DELETE", "/queue/night?forced=true", None)]),
    (["queue", "--delete", "night"], [("DELETE", "/queue/night", None)]),
    (
        ["schedule", "-a", "nightly", "-p", "22:00:00 06:00:00", "-w", "Monday", "--weekday=Friday"],
        [
            (
                "POST",
                "/schedule",
                {
                    "name": "nightly",
                    "weekdays": ["Monday", "Friday"],
                    "time": [{"begin": "22:00:00", "end": "06:00:00"}],
                },
            )
        ],
    ),
    (["schedule", "-d", "nightly"], [("DELETE", "/schedule/nightly", None)]),
    (["schedule", "-d", "--force", "nightly"], [("DELETE", "/schedule/nightly?forced=true", None)]),
    (["type"], [("GET", "/type", None)]),
    (["type", "command"], [("GET", "/type/command", None)]),
    (["host"], [("GET", "/host", None)]),
    (["stats"], [("GET", "/stats", None)]),
    (["stats", "night"], [("GET", "/stats/night", None)]),
    (["monitor"], [("GET", "/monitor/current/plain", None)]),
    (["monitor", "batchd", "-t"], [("GET", "/monitor/batchd/current/tree", None)]),
    (["monitor", "batchd.jobs.New", "--last"], [("GET", "/monitor/batchd.jobs.New/last", None)]),
    (["user"], [("GET", "/user", None)]),
    (["grant", "anna"], [("GET", "/user/anna/permissions", None)]),
    (
        ["grant", "anna", "-a", "-p", "CreateJobs", "-q", "night", "-t", "command", "-h", "blade"],
        [
            (
                "POST",
                "/user/anna/permissions",
                {
                    "user_name": "anna",
                    "permission": "CreateJobs",
                    "queue_name": "night",
                    "type_name": "command",
                    "host_name": "blade",
                },
            )
        ],
    ),
    (["grant", "anna", "-d", "-i", "3"], [("DELETE", "/user/anna/permissions/3", None)]),
    (["grant", "--delete", "--id=3", "anna"], [("DELETE", "/user/anna/permissions/3", None)]),
]
"""The command line, and the requests that it makes."""
ANSWERS: dict[str, object] = {
    "/type/command": COMMAND_TYPE,
    "/type": [COMMAND_TYPE],
    "/queue": [QUEUE],
    "/queue/night": QUEUE,
    "/job/5": JOB | {"id": 5},
    "/job/5/results": [RESULT],
    "/stats": {},
    "/stats/night": {},
    "/monitor/batchd/current/tree": {},
    "/monitor/batchd.jobs.New/last": {},
}


@pytest.mark.parametrize(("line", "requests"), LINES, ids=[" ".join(line) for line, _ in LINES])
@pytest.mark.parametrize("place", ["before", "after"])
def test_an_old_line_runs_unchanged(
    place: str, line: list[str], requests: list[tuple[str, str, Any]], batch: Batch, manager: Manager
) -> None:
    for method, path, _ in requests:
        created = 1 if "permissions" in path or path.startswith("/queue/") else "x"
        manager.answer(method, path, ANSWERS.get(path, []) if method == "GET" else created)
    common = ["-M", manager.url, "-U", "anna", "-P", "pw"]
    done = batch(*common, *line) if place == "before" else batch(*line, *common)
    assert done.code == 0, done.err
    assert manager.asked() == requests
