"""/attempt/:id: what workers of other work pools ask and report, each with the token of its attempt."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from batchd_api.db.tables import attempts, output
from batchd_flows.attempt_reports import AttemptReports
from batchd_flows.local_machine import LocalMachine
from batchd_flows.pool_flow import followed
from batchd_flows.run import Outcome
from tests.facade import enqueue, is_sentence

ORDER = {"script": "true", "environment": {"a": "b"}, "kill_after_seconds": 1}
SECRET = "the token of this one"


@pytest.fixture
def job(root: Any, queue: str) -> int:
    return int(enqueue(root, queue))


@pytest.fixture
def attempt(here: Any, job: int) -> Any:
    """It was given to a worker of another pool."""
    here.attempt(job, state="taken", token=SECRET, work_pool="k8s", order=ORDER)
    return row(here, job)


def row(here: Any, job: int) -> Any:
    with here.database.read() as connection:
        return connection.execute(select(attempts).where(attempts.c.job_id == job)).one()


def ask(
    client: Any, method: str, attempt: Any, path: str = "", body: object = None, token: str = SECRET
) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return client.request(method, f"/attempt/{attempt.id}{path}", json=body, headers=headers)


def piece(data: bytes, offset: int, stream: str = "stdout") -> dict[str, object]:
    return {"stream": stream, "offset": offset, "data": base64.b64encode(data).decode()}


def test_a_worker_gets_the_command_and_reports_it_to_its_end(
    anonymous: Any, root: Any, here: Any, job: int, attempt: Any
) -> None:
    assert ask(anonymous, "GET", attempt).json() == ORDER
    assert ask(anonymous, "POST", attempt, "/output", {}).json() == {"wanted": True}
    assert root.get(f"/job/{job}").json()["status"] == "Processing"
    ask(anonymous, "POST", attempt, "/output", piece(b"a\xff\0", 0))
    ask(anonymous, "POST", attempt, "/output", piece(b"a\xff\0b", 0))  # its first answer was lost
    ask(anonymous, "POST", attempt, "/output", piece(b"e", 0, "stderr"))
    assert ask(anonymous, "POST", attempt, "/exit", {"exit_code": 0}).json() == "done"
    seen = root.get(f"/job/{job}").json()
    assert (seen["status"], seen["exit_code"], seen["stderr"]) == ("Done", 0, "e")
    assert root.get(f"/job/{job}/output").content == b"a\xff\0b"
    for path in ("/output", "/exit"):
        late = ask(anonymous, "POST", attempt, path, {"exit_code": 1})
        assert late.status_code == 409
        assert is_sentence(late)
    assert row(here, job).exit_code == 0


def test_a_cancelled_one_is_told_so_and_fails(anonymous: Any, root: Any, job: int, attempt: Any) -> None:
    ask(anonymous, "POST", attempt, "/output", {})
    assert root.post(f"/job/{job}/cancel").status_code == 200
    assert ask(anonymous, "POST", attempt, "/output", {}).json() == {"wanted": False}
    ask(anonymous, "POST", attempt, "/exit", {"exit_code": -15, "reason": "cancelled"})
    seen = root.get(f"/job/{job}").json()
    assert (seen["status"], seen["reason"]["text"]) == ("Failed", "cancelled by root")


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", f"Basic {SECRET}", "Bearer \xe4"])
def test_without_its_token_nobody_reads_or_reports(
    anonymous: Any, here: Any, attempt: Any, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for method, path in (("GET", ""), ("POST", "/output"), ("POST", "/exit")):
        answer = anonymous.request(
            method, f"/attempt/{attempt.id}{path}", json=piece(b"x", 0) | {"exit_code": 0}, headers=headers
        )
        assert answer.status_code == 401
        assert is_sentence(answer)
    with here.database.read() as connection:
        assert connection.execute(select(output).where(output.c.job_id == attempt.job_id)).all() == []


def test_the_token_of_a_dispatchers_own_attempt_opens_nothing(anonymous: Any, here: Any, job: int) -> None:
    here.attempt(job, state="running", token="own")
    mine = row(here, job)
    for method, path in (("GET", ""), ("POST", "/output"), ("POST", "/exit")):
        assert ask(anonymous, method, mine, path, {"exit_code": 0}, token="own").status_code == 409
    assert row(here, job).state == "running"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/output", piece(b"x", -1)),
        ("/output", piece(b"x", 0, "log")),
        ("/output", {"stream": "stdout", "offset": 0, "data": "?"}),
        ("/output", piece(b"x" * 65537, 0)),
        ("/output", {"stream": "stdout", "offset": True, "data": ""}),
        ("/exit", {}),
        ("/exit", {"exit_code": "0"}),
        ("/exit", {"exit_code": 4096}),
    ],
)
def test_what_cannot_be_a_report_is_400(anonymous: Any, attempt: Any, path: str, body: object) -> None:
    answer = ask(anonymous, "POST", attempt, path, body)
    assert answer.status_code == 400
    assert is_sentence(answer)


def test_only_a_superuser_ties_a_queue_to_a_work_pool(root: Any, facade: Any, queue: str) -> None:
    assert root.put(f"/queue/{queue}", json={"work_pool": "k8s"}).json() == "done"
    assert root.get(f"/queue/{queue}").json()["work_pool"] == "k8s"
    assert root.put(f"/queue/{queue}", json={"host_name": "farm"}).status_code == 400
    assert root.put(f"/queue/{queue}", json={"work_pool": "batchd-default"}).status_code == 400
    facade.users.create(f"of-{queue}", "secret")
    root.post(f"/user/of-{queue}/permissions", json={"permission": "ManageQueues"})
    with facade.client(f"of-{queue}") as client:
        assert client.put(f"/queue/{queue}", json={"title": "x"}).status_code == 200
        assert client.put(f"/queue/{queue}", json={"work_pool": ""}).status_code == 403
    assert root.put(f"/queue/{queue}", json={"work_pool": ""}).json() == "done"
    assert root.get(f"/queue/{queue}").json()["work_pool"] is None


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_a_worker_runs_reports_itself_to_its_end_and_ends_when_it_is_cancelled(
    facade: Any, root: Any, here: Any, job: int, tmp_path: Path, cancelled: bool
) -> None:
    script = 'echo "from $WHERE for $a"; echo trouble >&2; ' + ("sleep 600" if cancelled else "exit 3")
    here.attempt(job, state="taken", token=SECRET, work_pool="k8s", order=ORDER | {"script": script})
    reports = AttemptReports(f"http://127.0.0.1:{facade.port}", row(here, job).id, SECRET)

    async def perform() -> Outcome:
        order = await reports.order()
        launch = order.launch(tmp_path / "run", {"WHERE": "there", "PATH": "/usr/bin:/bin"})
        following = asyncio.create_task(followed(LocalMachine(), launch, reports))
        while cancelled and not following.done():
            await asyncio.sleep(0.1)
            if (await asyncio.to_thread(root.get, f"/job/{job}")).json()["stdout"]:
                await asyncio.to_thread(root.post, f"/job/{job}/cancel")
                break
        return await following

    outcome = asyncio.run(perform())
    seen = root.get(f"/job/{job}").json()
    assert (seen["status"], seen["stdout"], seen["stderr"]) == ("Failed", "from there for b\n", "trouble\n")
    if cancelled:
        assert seen["reason"]["text"] == "cancelled by root"
    else:
        assert (outcome.exit_code, seen["exit_code"]) == (3, 3)
    assert not (tmp_path / "run").exists()
