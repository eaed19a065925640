"""What a person reads in the Prefect UI, asked of a real server by the API calls that its pages make.

The windows of queues as schedules are in test_queue_windows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)

from batchd_api import run_artifacts
from batchd_flows.job_types import JobType, Parameter, ParameterType
from tests.dispatching import LIMIT_SECONDS, ROOT, Daemon, Person, person
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

TYPES = (
    JobType(
        name="render",
        title="Render with Blender",
        template=('blender "$input" --frames "$frames"',),
        params=(
            Parameter(name="input", type=ParameterType.INPUT_FILE, title="Scene"),
            Parameter(name="frames", type=ParameterType.INTEGER, default="250"),
            Parameter(name="key", secret=True),
        ),
    ),
    JobType(
        name="told",
        template=('sh -c "$script"',),
        params=(Parameter(name="script"),),
        progress="percent",
    ),
)


@pytest.fixture
async def client(prefect_server: PrefectServer) -> AsyncIterator[PrefectClient]:
    async with person(prefect_server) as client:
        yield client


@pytest.fixture
async def daemon(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Daemon]:
    monkeypatch.setattr(run_artifacts, "PROGRESS_SECONDS", 0.2)
    monkeypatch.setattr(run_artifacts, "SWEEP_SECONDS", 0.5)
    daemon = Daemon(prefect_server, tmp_path, workers=2, types=TYPES)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.close()


async def comes(ask: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := await ask()):
        assert time.monotonic() < deadline, f"it never came: {what}"
        await asyncio.sleep(0.1)
    return found


async def artifacts_of(client: PrefectClient, run_id: str, kind: str) -> list[Any]:
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]))
    return [one for one in await client.read_artifacts(artifact_filter=mine) if one.type == kind]


async def test_a_waiting_job_reads_as_what_it_is_and_why_it_waits(
    daemon: Daemon, client: PrefectClient
) -> None:
    queue = daemon.queue("reads well", enabled=False, title="For the night")
    fields = {"type": "render", "params": {"input": "/films/shot_03.blend", "key": "s3cret"}}
    job_id = daemon.enqueue("", queue, **fields)
    await daemon.shown(job_id, "QueueDisabled")
    (run,) = daemon.runs(job_id)
    seen = await Person(client).sees(run.id, "QueueDisabled")
    assert seen.name == f"#{job_id} render shot_03.blend"
    assert set(seen.tags) == {f"queue:{queue}", f"user:{ROOT.name}", "host:local", "type:render"}
    assert seen.state is not None
    assert "disabled" in (seen.state.message or "")
    assert "s3cret" not in seen.model_dump_json()
    assert seen.deployment_id is not None
    deployment = await client.read_deployment(seen.deployment_id)
    assert deployment.description is not None
    assert "Render with Blender" in deployment.description
    assert 'blender "$input" --frames "$frames"' in deployment.description
    form = deployment.parameter_openapi_schema or {}
    assert form["properties"]["input"]["title"] == "Scene"
    assert form["properties"]["frames"] | {"type": "integer", "default": 250} == form["properties"]["frames"]
    assert "key" not in form["properties"]
    pool = await client.read_work_pool(deployment.work_pool_name or "")
    assert "For the night" in (pool.description or "")
    assert pool.is_paused


async def test_output_progress_and_result_stand_with_the_run_and_go_with_it(
    daemon: Daemon, client: PrefectClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"while ! [ -e {gate} ]; do sleep 0.1; done"
    script = f"echo 10%; sleep 0.3; echo 15%; {wait}; echo 70%; echo 'a `b` | c' >&2; exit 3"
    job_id = daemon.enqueue("", type="told", params={"script": script})
    await daemon.status(job_id, "Processing")
    (run,) = daemon.runs(job_id)

    async def bars_at(percent: int) -> list[Any]:
        return [one for one in await artifacts_of(client, run.id, "progress") if one.data == percent]

    (bar,) = await comes(lambda: bars_at(15), "a progress bar, with what was told within a second")
    assert bar.description == "15%"
    gate.touch()
    await daemon.status(job_id, "Failed")
    (page,) = await comes(lambda: artifacts_of(client, run.id, "markdown"), "a result page")
    assert "| exit code | 3 |" in page.data
    assert f"http://127.0.0.1:9681/#/job/{job_id}" in page.data
    assert "a `b` | c" in page.data
    bars = await artifacts_of(client, run.id, "progress")
    assert [(one.id, one.data) for one in bars] == [(bar.id, 70)]
    seen = await Person(client).sees(run.id, "Failed")
    assert seen.state is not None
    assert "exit code 3" in (seen.state.message or "")
    logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run.id)]))

    async def logged() -> bool:
        return "70%" in "\n".join(one.message for one in await client.read_logs(logs))

    await comes(logged, "the output in the log")

    daemon.jobs.delete(ROOT, job_id)

    async def gone() -> bool:
        kinds = [await artifacts_of(client, run.id, kind) for kind in ("progress", "markdown")]
        return kinds == [[], []]

    await comes(gone, "no artifacts of a run that was removed")
