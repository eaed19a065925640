"""A whole daemon tells people what happened, and Prometheus what it counted; its jobs run on unharmed."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.harness import PASSWORD, USER, Installation, installation, running, until
from tests.packaging import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]
SECONDS = 240  # `long` is looked for twice a minute, and never before a job's first minute is over
TOLD = """
name: told
notify: [fail:ops]
template: |
  #!/bin/sh
  echo "the last words"
  [ -z "$wait" ] || sleep "$wait"
  exit "$code"
params:
  - {name: code, type: Integer, default: "0"}
  - {name: wait, default: ""}
"""


class Hook:
    """A web hook of somebody's; `wrong` answers 500 to everything."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refused = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_wrong = self.path.startswith("/wrong")
                hook.refused += is_wrong
                if not is_wrong:
                    hook.got.append(body)
                self.send_response(500 if is_wrong else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not among the tests' own words."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def about(self, *words: str) -> dict[str, Any]:
        """The message whose title has all of them, once it is there."""

        def look() -> list[dict[str, Any]]:
            return [one for one in self.got if all(word in one["title"] for word in words)]

        return until(SECONDS, f"a message about {words}; there are {self.got}", look)[0]


@contextmanager
def serving() -> Iterator[Hook]:
    hook = Hook()
    thread = threading.Thread(target=hook.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        hook.server.server_close()
        thread.join(60)


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with serving() as hook:
        yield hook


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, hook: Hook) -> Iterator[Installation]:
    settings = (
        f"metrics: {{dump_timeout: 1}}\nnotify: {{targets: {{ops: 'json://me:s3cret@{hook.address}/right',"
        f" broken: 'json://me:s3cret@{hook.address}/wrong', nowhere: 'json://127.0.0.1:9/'}}}}\n"
    )
    with installation(tmp_path_factory.mktemp("told") / "here", settings=settings) as here:
        here.job_type(TOLD)
        with running(here):
            yield here


def ask(here: Installation, method: str, path: str, body: Any = None) -> Any:
    login = httpx.BasicAuth(USER, PASSWORD)
    answer = httpx.request(method, here.url + path, json=body, auth=login, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture(scope="module")
def long_job(here: Installation) -> int:
    """Of a type that is usually done at once; it runs while the other tests do."""
    for _ in range(2):
        here.ended(here.enqueue("-t", "told"))
    return here.enqueue("-t", "told", "-p", "wait=500", "--notify", "long:ops")


def test_a_failure_is_told_with_the_last_lines_and_a_link(
    here: Installation, hook: Hook, long_job: int
) -> None:
    job = here.enqueue("-t", "told", "-p", "code=3")
    assert here.ended(job).status == "Failed"
    message = hook.about(f"job #{job} failed", "exit code 3")
    assert message["message"].endswith("the last words")
    assert f"{here.url}/#/job/{job}" in message["message"]


def test_who_asked_for_it_is_told_of_a_job_that_is_done(
    here: Installation, hook: Hook, long_job: int
) -> None:
    job = here.enqueue("--notify", "done:ops", "echo", "said and done")
    assert here.ended(job).status == "Done"
    assert "said and done" in hook.about(f"job #{job} is done")["message"]


def test_a_queue_that_has_run_empty_is_told_once(here: Installation, hook: Hook, long_job: int) -> None:
    ask(here, "POST", "/queue", {"name": "batch", "title": "batch", "enabled": False})
    ask(here, "PUT", "/queue/batch", {"notify": ["queue-empty:ops"]})
    jobs = [here.enqueue("-q", "batch", "true") for _ in range(3)]
    ask(here, "PUT", "/queue/batch", {"enabled": True})
    for job in jobs:
        here.ended(job)
    assert f"{here.url}/" in hook.about("queue batch is empty")["message"]
    assert len([one for one in hook.got if "queue batch is empty" in one["title"]]) == 1


def test_targets_that_fail_harm_no_job_and_hide_no_other_message(
    here: Installation, hook: Hook, long_job: int
) -> None:
    before = hook.refused
    wishes = [word for target in ("broken", "nowhere", "ops") for word in ("--notify", f"done:{target}")]
    job = here.enqueue(*wishes, "true")
    assert here.ended(job).status == "Done"
    hook.about(f"job #{job} is done")
    until(SECONDS, "the broken target to be tried", lambda: hook.refused > before)
    until(SECONDS, "a line in the log", lambda: "the target broken did not take a message" in here.said())
    assert here.ended(here.enqueue("true")).status == "Done"
    assert "s3cret" not in here.said()
    assert "s3cret" not in ask(here, "GET", f"/job/{job}").text


def test_prometheus_counts_what_has_run(here: Installation, long_job: int) -> None:
    here.ended(here.enqueue("-t", "told", "-p", "code=4"))
    names = {name.removesuffix("_total") for name in documented()}

    def look() -> dict[tuple[str, str, str], float] | None:
        families = list(text_string_to_metric_families(ask(here, "GET", "/metrics").text))
        own = {family.name for family in families if family.name.startswith("batchd_")}
        assert own <= names, own - names
        found = {
            (sample.name, sample.labels.get("type", ""), sample.labels.get("reason", "")): sample.value
            for family in families
            for sample in family.samples
        }
        return found if found.get(("batchd_job_failures_total", "told", "exit-code"), 0) >= 1 else None

    found = until(SECONDS, "the failure to be counted", look)
    assert found["batchd_job_starts_total", "told", ""] >= 4
    assert found["batchd_job_run_seconds_count", "told", ""] >= 3
    for name in ("batchd_job_wait_seconds_count", "batchd_planner_seconds_count", "batchd_dispatchers"):
        assert found[name, "", ""] >= 1, name
    assert found["batchd_http_requests_total", "", ""] > 1
    assert found["batchd_http_latency_seconds_count", "", ""] > 1
    assert ("batchd_mirror_lag_seconds", "", "") in found


def documented() -> set[str]:
    return set(re.findall(r"^\| `(batchd_\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))


def test_batch_monitor_shows_the_current_and_the_stored_figures(here: Installation, long_job: int) -> None:
    shown = dict(line.split(None, 1) for line in here.batch("monitor", "batchd.jobs").splitlines()[1:])
    assert int(shown["batchd.jobs.Processing"]) >= 1
    tree = json.loads(here.batch("monitor", "-t", "batchd.job.duration"))
    assert tree["batchd"]["job"]["duration"]["type"]["told"]["count"] >= 2

    def stored() -> dict[str, Any] | None:
        done = here.run("batch", "monitor", "-l", "batchd.jobs.Processing")
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        return found if found and found["batchd"]["jobs"]["Processing"]["val"] >= 1 else None

    assert until(SECONDS, "a stored record", stored)
    by_name = {one["name"]: one for one in json.loads(here.batch("--json", "monitor", "batchd.wai"))}
    assert by_name["batchd.wai.request_count"]["value"] > 0


def test_a_job_that_takes_much_longer_than_its_like_is_told_and_runs_on(
    here: Installation, hook: Hook, long_job: int
) -> None:
    message = hook.about(f"job #{long_job} has run for", "usual is")
    assert message["message"].endswith("the last words")
    with here.client() as client:
        assert client.job(long_job).status == "Processing"
    here.batch("cancel", str(long_job))
    assert here.ended(long_job).status == "Failed"
