"""A job from the command line through Prefect and back, on the real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.harness import PASSWORD, USER, Installation, installation, running, until

TYPES = (
    """name: both-streams
title: Writes on both streams
params:
  - {name: word, title: A word, default: hello}
  - {name: times, type: Integer, default: "2"}
  - {name: picture, type: InputFile}
template: |
  #!/bin/sh
  echo "out: $word $times"
  echo "err: $word" >&2
  exit 4
""",
    """name: second-time
on_fail: {retry: {when: now, count: 1}}
template: 'echo "attempt $BATCHD_ATTEMPT"; test "$BATCHD_ATTEMPT" -gt 1'
""",
    """name: waits-for-file
params:
  - {name: file}
template: |
  #!/bin/sh
  echo begun
  until [ -e "$file" ]; do sleep 0.1; done
  echo over
""",
)

CONTROLLER = "name: virt\ndriver: libvirt\nconnection_string: test:///default\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("first-light")) as here:
        for text in TYPES:
            here.job_type(text)
        (here.folder / "controllers").mkdir()
        (here.folder / "controllers" / "virt.yaml").write_text(CONTROLLER)
        with running(here):
            yield here


def log_of(here: Installation, run: dict[str, str]) -> list[dict[str, str]]:
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    return list(here.prefect("/logs/filter", wanted))


def test_enqueue_prints_the_id_and_the_job_runs(here: Installation) -> None:
    number = here.enqueue("echo", "a job goes through a pipe | tr a-z A-Z")
    job = here.ended(number)
    assert (job.status, job.exit_code, job.stdout) == ("Done", 0, "A JOB GOES THROUGH A PIPE\n")
    assert (job.queue, job.type, job.user_name) == ("default", "command", USER)
    (run,) = here.states(number, "Completed")
    assert run["name"] == f"#{number} command echo a job goes through a pipe | tr a-z A-Z"
    assert sorted(run["tags"]) == ["host:local", "queue:default", "type:command", f"user:{USER}"]


def test_a_waiting_job_is_a_flow_run_at_once_and_says_why_it_waits(here: Installation) -> None:
    here.batch("queue", "closed", "-a", "-D")
    number = here.enqueue("-q", "closed", "true")
    # A second is the aim; what is asserted leaves room for a machine that is busy with other tests.
    (run,) = until(10, "the flow run of a new job", lambda: here.flow_runs(number))
    assert run["state_type"] == "SCHEDULED"
    assert run["state_name"] not in ("Scheduled", "Late")
    until(10, "its reason", lambda: here.flow_runs(number)[0]["state"]["message"])
    pool = here.prefect("/work_pools/batchd-closed")
    assert pool["is_paused"] is True
    here.batch("queue", "closed", "-e")
    assert here.ended(number).status == "Done"
    here.states(number, "Completed")


def test_output_is_in_results_and_in_the_log_with_streams_apart(here: Installation, tmp_path: Path) -> None:
    (tmp_path / "p.png").touch()
    number = here.enqueue("-t", "both-streams", "-p", "word=light", "-p", f"picture={tmp_path}/p.png")
    job = here.ended(number)
    assert (job.status, job.exit_code) == ("Failed", 4)
    with here.client() as client:
        results = client.results(number)
    assert [result.stdout for result in results if result.stdout] == ["out: light 2"]
    assert [result.stderr for result in results if result.stderr] == ["err: light"]
    assert [result.exit_code for result in results] == [*[None] * (len(results) - 1), 4]
    (run,) = here.states(number, "Failed")
    records = until(20, "its log", lambda: len(log_of(here, run)) > 1 and log_of(here, run))
    levels = {record["message"].strip(): record["level"] for record in records}
    assert levels["out: light 2"] == 20
    assert levels["err: light"] == 30


def test_output_is_there_while_the_job_still_runs(here: Installation, tmp_path: Path) -> None:
    file = tmp_path / "go"
    number = here.enqueue("-t", "waits-for-file", "-p", f"file={file}")
    try:
        with here.client() as client:
            until(30, "its first line", lambda: [r for r in client.results(number) if r.stdout == "begun"])
            assert client.job(number).status == "Processing"
        (run,) = here.states(number, "Running")
        until(
            20, "its first line in Prefect", lambda: [r for r in log_of(here, run) if "begun" in r["message"]]
        )
    finally:
        file.touch()
    assert here.ended(number).stdout == "begun\nover\n"


def test_a_queue_is_a_pool_of_our_type_with_its_limit_and_a_live_worker(here: Installation) -> None:
    with here.client() as client:
        client.create_queue("three", title="Three at once")
        client.update_queue("three", max_jobs=3)
    pool = until(
        30,
        "the pool with its limit",
        lambda: (
            (found := here.prefect("/work_pools/filter", {}))
            and [p for p in found if p["name"] == "batchd-three" and p["concurrency_limit"] == 3]
        ),
    )[0]
    assert pool["type"] == "batchd"
    assert "Three at once" in pool["description"]
    workers = until(60, "a worker", lambda: here.prefect("/work_pools/batchd-three/workers/filter", {}))
    assert [worker["status"] for worker in workers] == ["ONLINE"]
    assert here.prefect("/work_pools/batchd-default")["status"] == "READY"


def test_a_job_type_is_a_flow_whose_deployment_has_its_parameters(here: Installation) -> None:
    number = here.enqueue("-t", "both-streams")
    here.ended(number)
    deployment = here.prefect("/deployments/name/both-streams/default")
    schema = deployment["parameter_openapi_schema"]
    assert schema["properties"]["word"]["title"] == "A word"
    assert schema["properties"]["word"]["default"] == "hello"
    assert set(schema["properties"]) == {"word", "times", "picture"}
    assert deployment["work_pool_name"] == "batchd-default"
    assert deployment["description"].startswith("Writes on both streams")


def test_a_retry_is_a_second_flow_run(here: Installation) -> None:
    number = here.enqueue("-t", "second-time")
    job = here.ended(number)
    assert (job.status, job.try_count, job.exit_code) == ("Done", 1, 0)
    first, second = here.states(number, "Failed", "Completed")
    assert first["id"] != second["id"]
    with here.client() as client:
        assert [r.exit_code for r in client.results(number) if r.exit_code is not None] == [1, 0]


def test_the_terminal_says_where_everything_is_and_how_to_log_in(here: Installation) -> None:
    said = (here.folder / "terminal").read_text()
    for words in (here.url, f"http://127.0.0.1:{here.prefect_port}", str(here.state / "prefect-auth")):
        assert words in said
    assert (here.state / "prefect-auth").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["enqueue", "-q", "nosuch", "true"], 5, "nosuch"),
        (["enqueue", "-t", "nosuch", "-p", "x=1"], 5, "nosuch"),
        (["enqueue", "-t", "both-streams", "-p", "times=many"], 1, "times"),
        (["job", "999999"], 5, "999999"),
        (["-P", "wrong", "ls"], 4, "password"),
    ],
)
def test_bad_words_get_a_sentence_and_a_code(
    words: list[str], code: int, says: str, here: Installation
) -> None:
    refused = here.run("batch", *words)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "says"),
    [
        ("POST", "/queue/nosuch", '{"type": "command"}', 404, "nosuch"),
        ("POST", "/queue/default", '{"type": "nosuch"}', 400, "nosuch"),
        ("POST", "/queue/default", '{"type": ', 400, "JSON"),
        ("GET", "/queue/default/jobs?status=lost", None, 400, "lost"),
        ("GET", "/job/seven", None, 404, "seven"),
        ("POST", "/queue/default", '{"type": "both-streams", "params": {"times": "x"}}', 400, "times"),
        ("PUT", "/queue/default", '{"autostart_job_count": "x"}', 400, "autostart_job_count"),
    ],
)
def test_bad_requests_get_a_sentence_and_a_code(
    method: str, path: str, body: str | None, code: int, says: str, here: Installation
) -> None:
    with httpx.Client(base_url=here.url, auth=(USER, PASSWORD), trust_env=False) as client:
        refused = client.request(method, path, content=body)
    assert refused.status_code == code, refused.text
    assert says in refused.text
    assert "{" not in refused.text


def test_a_wrong_password_is_401_and_says_how_to_log_in(here: Installation) -> None:
    refused = httpx.get(here.url + "/queue", auth=(USER, "wrong"), trust_env=False)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="batchd"'


def test_a_controller_is_a_block_in_prefect(here: Installation) -> None:
    def found() -> list[dict[str, object]]:
        blocks = here.prefect("/block_documents/filter", {})
        return [block["data"] for block in blocks if block["block_type"]["slug"] == "batchd-libvirt"]

    (data,) = until(30, "the block of the controller", found)
    assert (data["controller_name"], data["connection_string"]) == ("virt", "test:///default")
