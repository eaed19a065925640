"""Every path of the contract has its method, with its query and body."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from batchd_api.routes.table import ROUTES, Route
from batchd_cli.client import Client, Period, Permission, Schedule

from .conftest import COMMAND_TYPE, JOB, QUEUE, Manager
from .played import BLADE, TESTED

SINCE = datetime(2026, 11, 24, 22, tzinfo=UTC)
METRIC = {"name": "m", "time": "2026-11-24T03:00:00.000000Z", "daemon": "Both", "kind": "g", "value": 3}
RESULT = {"job_id": 17, "time": "2026-11-24T03:00:00.000000Z", "exit_code": 0, "stdout": "", "stderr": ""}
OPENING = {"begin": "2026-11-24T21:00:00.000000Z", "end": None}
COUNT = {"time": "2026-11-24T21:00:00.000000Z", "queue": "night", "status": "New", "jobs": 2}
HEALTH = {"alive": True, "database": "ok", "prefect": "ok", "dispatchers": 1}
GRANT = {
    "user_name": "anna",
    "permission": "ViewJobs",
    "queue_name": None,
    "type_name": None,
    "host_name": None,
}
DRY: dict[str, object] = {
    "command": "true",
    "host": None,
    "files": [],
    "window_opens": None,
    "earliest_start": None,
}

CALLS: list[tuple[str, object, Callable[[Client], object]]] = [
    ("OPTIONS /", ["basic"], lambda client: client.methods()),
    ("GET /stats", {"night": {"new": 1}}, lambda client: client.stats()),
    ("GET /stats/q", {"new": 1}, lambda client: client.queue_stats("q")),
    ("GET /queue", [QUEUE], lambda client: client.queues()),
    ("POST /queue", "q", lambda client: client.create_queue("q")),
    ("GET /queue/q", QUEUE, lambda client: client.queue("q")),
    ("PUT /queue/q", "done", lambda client: client.update_queue("q", enabled=False)),
    ("DELETE /queue/q?forced=true", "done", lambda client: client.delete_queue("q", forced=True)),
    ("DELETE /queue/q?status=failed", "done", lambda client: client.delete_jobs("q", "Failed")),
    (
        "GET /queue/q/jobs?status=all&user=anna&type=t&host=h&since=2026-11-24T22%3A00%3A00.000000Z"
        "&limit=5&after=17",
        [JOB],
        lambda client: client.jobs(
            "q", status="all", user="anna", type="t", host="h", since=SINCE, limit=5, after=17
        ),
    ),
    ("POST /queue/q", 18, lambda client: client.enqueue("q", "t", {})),
    ("POST /queue/q?dry_run=true", DRY, lambda client: client.dry_run("q", "t", {})),
    ("DELETE /queue/q/3", "done", lambda client: client.delete_job_at("q", 3)),
    ("GET /queue/q/type", [COMMAND_TYPE], lambda client: client.queue_job_types("q")),
    ("GET /queue/q/host", ["__default__"], lambda client: client.queue_hosts("q")),
    ("GET /queue/q/type/t/host", ["h"], lambda client: client.queue_hosts("q", "t")),
    ("GET /jobs?status=failed", [JOB], lambda client: client.all_jobs(status="Failed")),
    ("GET /job/17", JOB, lambda client: client.job(17)),
    ("PUT /job/17", "done", lambda client: client.update_job(17, status="New")),
    ("DELETE /job/17", "done", lambda client: client.delete_job(17)),
    ("POST /job/17/cancel", "done", lambda client: client.cancel_job(17)),
    ("GET /job/17/results", [RESULT], lambda client: client.results(17)),
    ("GET /job/17/results/last", RESULT, lambda client: client.last_result(17)),
    ("GET /job/17/output?stream=stdout", b"\xff\x00", lambda client: client.output(17)),
    (
        "GET /job/17/output?stream=stderr&attempt=2&offset=3",
        b"x",
        lambda client: client.output(17, "stderr", attempt=2, offset=3),
    ),
    ("GET /schedule", [], lambda client: client.schedules()),
    ("POST /schedule", "s", lambda client: client.create_schedule(Schedule(name="s"))),
    ("PUT /schedule/s", "done", lambda client: client.update_schedule("s", weekdays=None)),
    ("DELETE /schedule/s", "done", lambda client: client.delete_schedule("s")),
    ("GET /schedule/s/openings?count=3", [OPENING], lambda client: client.openings("s", 3)),
    ("GET /type", [COMMAND_TYPE], lambda client: client.job_types()),
    ("GET /type/t", COMMAND_TYPE, lambda client: client.job_type("t")),
    ("GET /host", ["h"], lambda client: client.hosts()),
    ("GET /hosts", [BLADE], lambda client: client.host_states()),
    ("GET /host/h", BLADE, lambda client: client.host("h")),
    ("POST /host/h/start", "done", lambda client: client.start_host("h")),
    ("POST /host/h/stop", "done", lambda client: client.stop_host("h")),
    ("POST /host/h/drain", "done", lambda client: client.drain_host("h")),
    ("POST /host/h/resume", "done", lambda client: client.resume_host("h")),
    ("POST /host/h/test", TESTED, lambda client: client.test_host("h")),
    ("GET /whoami", {"name": "anna", "permissions": [GRANT]}, lambda client: client.whoami()),
    ("GET /user", ["anna"], lambda client: client.users()),
    ("POST /user", "bob", lambda client: client.create_user("bob", "pw")),
    ("PUT /user/bob", "done", lambda client: client.set_password("bob", "pw")),
    ("DELETE /user/bob", "done", lambda client: client.delete_user("bob")),
    ("GET /user/bob/permissions", [], lambda client: client.permissions("bob")),
    ("POST /user/bob/permissions", 4, lambda client: client.grant("bob", Permission(permission="ViewJobs"))),
    ("DELETE /user/bob/permissions/4", "done", lambda client: client.revoke("bob", 4)),
    ("GET /monitor/current/plain", [METRIC], lambda client: client.metrics()),
    ("GET /monitor/p/current/plain", [METRIC], lambda client: client.metrics("p")),
    ("GET /monitor/current/tree", {}, lambda client: client.metrics_tree()),
    ("GET /monitor/p/current/tree", {}, lambda client: client.metrics_tree("p")),
    ("GET /monitor/m/last", {}, lambda client: client.last_metric("m")),
    ("GET /monitor/p/query?last=60", [METRIC], lambda client: client.stored_metrics("p", last_seconds=60)),
    (
        "GET /monitor/jobs?from=2026-11-24T22%3A00%3A00",
        [COUNT],
        lambda client: client.job_counts(begin=SINCE.replace(tzinfo=None)),
    ),
    ("GET /health", HEALTH, lambda client: client.health()),
]


@pytest.mark.parametrize(("line", "answer", "call"), CALLS, ids=[line for line, _, _ in CALLS])
def test_a_path_of_the_contract_has_its_method(
    line: str, answer: object, call: Callable[[Client], object], manager: Manager
) -> None:
    method, path = line.split(" ")
    manager.answer(method, path, answer)
    with Client(manager.url) as client:
        call(client)
    assert [(one.method, one.path) for one in manager.requests] == [(method, path)]


# For browsers, for Prometheus, and for runs of other work pools, which know a token and no user; a job's
# stream is `follow`, which has tests of its own.
NO_METHODS = {
    "GET /",
    "GET /monitor",
    "GET /docs",
    "GET /openapi.json",
    "GET /metrics",
    "GET /job/{job_id}/stream",
    "GET /attempt/{attempt_id}",
    "POST /attempt/{attempt_id}/output",
    "POST /attempt/{attempt_id}/exit",
}


def test_every_path_of_the_manager_has_its_method() -> None:
    def pattern(route: Route) -> str:
        return f"{route.method} " + re.sub(r"\{\w+\}", r"[^/?]+", route.path) + r"(\?.*)?"

    lines = [line for line, _, _ in CALLS]
    without = {
        f"{route.method} {route.path}"
        for route in ROUTES
        if not any(re.fullmatch(pattern(route), line) for line in lines)
    }
    assert without == NO_METHODS


def test_every_public_method_is_among_them(request: pytest.FixtureRequest) -> None:
    source = request.path.read_text()
    own = {"close", "authenticate", "handle", "follow", "move_job", "prioritize_job"}
    own |= {"configured", "output_is_cut"}
    public = {name for name in dir(Client) if not name.startswith("_")} - own - {"output_size_bytes"}
    assert public - set(re.findall(r"client\.(\w+)\(", source)) == set()


def test_a_schedule_changes_only_what_is_given(manager: Manager) -> None:
    manager.answer("PUT", "/schedule/s", "done")
    with Client(manager.url) as client:
        client.update_schedule("s", time=[Period(begin="22:00:00", end="06:00:00")])
        client.update_schedule("s", weekdays=None, time=None)
    assert [one.body for one in manager.requests] == [
        {"time": [{"begin": "22:00:00", "end": "06:00:00"}]},
        {"weekdays": None, "time": None},
    ]


def test_output_is_byte_for_byte_and_its_size_is_asked_without_it(manager: Manager) -> None:
    manager.answer("GET", "/job/17/output?stream=stdout", b"\xff\x00\n")
    manager.answer("GET", "/job/17/output?stream=stderr", b"")
    with Client(manager.url) as client:
        assert client.output(17) == b"\xff\x00\n"
        assert client.output_size_bytes(17, "stdout") == 3
        assert client.output_size_bytes(17, "stderr") == 0
    assert manager.requests[-1].headers["Range"] == "bytes=-1"


def test_a_list_that_has_not_changed_is_not_sent_again(manager: Manager) -> None:
    manager.answer("GET", "/queue/q/jobs", [JOB])
    manager.etags["/queue/q/jobs"] = '"1"'
    with Client(manager.url) as client:
        first, second = client.jobs("q"), client.jobs("q")
    assert first == second
    assert "If-None-Match" not in manager.requests[0].headers
    assert manager.requests[1].headers["If-None-Match"] == '"1"'


def test_a_manager_that_is_not_well_says_so(manager: Manager) -> None:
    manager.answers["GET", "/health"] = 503, '{"alive": true, "database": "away since 22:00"}'
    with Client(manager.url) as client:
        assert client.health().database == "away since 22:00"


def test_a_record_has_the_keys_and_times_of_the_wire(manager: Manager) -> None:
    reason = {"code": "window", "text": "closed", "until": "2026-11-24T21:00:00.000000Z"}
    unsaid = ("working_directory", "flow_run_id", "flow_run_url", "timeout", "silence", "kill_after")
    unsaid += ("output_limit", "notify", "progress", "expected_end")
    extra = dict.fromkeys(unsaid) | {"output_cut": False}
    manager.answer("GET", "/job/17", JOB | {"reason": reason})
    with Client(manager.url) as client:
        assert client.job(17).to_json() == JOB | {"reason": reason} | extra
