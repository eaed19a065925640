"""The orchestrator against a real server."""

import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.states import Cancelling
from pydantic import SecretStr

from batchd_flows.dispatched_flow import ENTRYPOINT
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_client import prefect_client
from batchd_flows.orchestrator_records import (
    ClaimRefused,
    DeploymentGone,
    DeploymentSpec,
    End,
    LogBlock,
    PoolGone,
    PoolOfAnotherType,
    PoolSpec,
    RunGone,
    RunSpec,
    StateRefused,
    StateType,
    Waiting,
)
from batchd_flows.server import client_environment
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

WINDOW = Waiting(code_name="WaitingForWindow", message="night opens at 22:00")
HOST = Waiting(code_name="WaitingForHost", message="gpu1 starts")


@pytest.fixture(scope="module")
async def orchestrator(prefect_server: PrefectServer) -> AsyncIterator[Orchestrator]:
    async with Orchestrator(prefect_server.api_url, SecretStr(prefect_server.auth_string)) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
async def client(prefect_server: PrefectServer) -> AsyncIterator[PrefectClient]:
    """Prefect's own client, for what only people and tests do."""
    async with prefect_client(prefect_server.api_url, prefect_server.auth_string) as client:
        yield client


@pytest.fixture(scope="module")
async def pool(orchestrator: Orchestrator) -> str:
    return (await orchestrator.ensure_pool(PoolSpec(name="batchd-night"))).name


@pytest.fixture(scope="module")
async def deployment_id(orchestrator: Orchestrator, pool: str) -> UUID:
    return await orchestrator.ensure_deployment(deployment(pool_name=pool))


def fresh_name() -> str:
    return f"batchd-{uuid4().hex[:8]}"


def deployment(**changes: Any) -> DeploymentSpec:
    fields: dict[str, Any] = {"flow_name": "blender", "name": "night", "entrypoint": ENTRYPOINT}
    return DeploymentSpec(**(fields | changes))


def run(deployment_id: UUID, **changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "deployment_id": deployment_id,
        "name": "#17 blender shot_03.blend",
        "tags": ("queue:night", "user:alice"),
        "parameters": {"input": "shot_03.blend"},
        "idempotency_key": f"batchd:{uuid4()}",
        "waiting": WINDOW,
        "scheduled_time": datetime.now(UTC),
    }
    return RunSpec(**(fields | changes))


async def test_the_probe_is_content_with_the_installed_pair(orchestrator: Orchestrator) -> None:
    await orchestrator.probe()
    assert await orchestrator.healthy()


class LostAnswer(httpx.AsyncBaseTransport):
    """Hands requests on, and loses the answer to the first POST."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.posts = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.posts += request.method == "POST"
        response = await self.inner.handle_async_request(request)
        if self.posts == 1 and request.method == "POST":
            await response.aclose()
            raise httpx.ReadError("connection reset", request=request)
        return response


async def test_a13_a_write_whose_answer_was_lost_is_made_once(
    orchestrator: Orchestrator, prefect_server: PrefectServer, deployment_id: UUID
) -> None:
    other = Orchestrator(prefect_server.api_url, SecretStr(prefect_server.auth_string))
    http = other._client._client
    async with other:
        wire = http._transport
        http._transport = lossy = LostAnswer(wire)
        run_id = await other.create_run(run(deployment_id))
        assert lossy.posts == 2
        http._transport = lossy = LostAnswer(wire)
        await other.claim(run_id)
        assert lossy.posts == 2
    with pytest.raises(ClaimRefused):
        await orchestrator.claim(run_id)


# Pools


async def test_a_pool_is_made_and_written_only_when_it_differs(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    name = fresh_name()
    spec = PoolSpec(name=name, description="night", concurrency_limit=2, paused=False)
    made = await orchestrator.ensure_pool(spec)
    assert (made.type, made.description, made.concurrency_limit, made.paused) == ("batchd", "night", 2, False)
    before = (await client.read_work_pool(name)).updated
    assert await orchestrator.ensure_pool(spec) == made
    assert (await client.read_work_pool(name)).updated == before
    changed = await orchestrator.ensure_pool(PoolSpec(name=name, concurrency_limit=None, paused=True))
    assert (changed.description, changed.concurrency_limit, changed.paused) == ("", None, True)


async def test_a_persons_pool_of_another_type_is_left_alone(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    name = fresh_name()
    await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    with pytest.raises(PoolOfAnotherType, match="process"):
        await orchestrator.ensure_pool(PoolSpec(name=name))


async def test_a_heartbeat_makes_the_pool_ready(orchestrator: Orchestrator) -> None:
    made = await orchestrator.ensure_pool(PoolSpec(name=fresh_name()))
    assert not made.ready
    await orchestrator.heartbeat(made.name, "dispatcher-1", 30)
    read = await orchestrator.read_pool(made.name)
    assert read is not None
    assert read.ready


async def test_a_deleted_pool_is_gone(orchestrator: Orchestrator) -> None:
    name = (await orchestrator.ensure_pool(PoolSpec(name=fresh_name()))).name
    await orchestrator.delete_pool(name)
    await orchestrator.delete_pool(name)
    assert await orchestrator.read_pool(name) is None
    with pytest.raises(PoolGone):
        await orchestrator.heartbeat(name, "dispatcher-1", 30)
    with pytest.raises(PoolGone):
        await orchestrator.ensure_deployment(deployment(pool_name=name, name="nowhere"))


# Deployments


async def test_a_deployment_is_made_and_written_only_when_it_differs(
    orchestrator: Orchestrator, client: PrefectClient, pool: str
) -> None:
    schema = {"type": "object", "properties": {"frames": {"type": "integer", "title": "frames"}}}
    spec = deployment(
        name="written-once", pool_name=pool, description="d", parameter_schema=schema, tags=("type:blender",)
    )
    deployment_id = await orchestrator.ensure_deployment(spec)
    before = (await client.read_deployment(deployment_id)).updated
    assert await orchestrator.ensure_deployment(spec) == deployment_id
    assert (await client.read_deployment(deployment_id)).updated == before

    other_pool = (await orchestrator.ensure_pool(PoolSpec(name=fresh_name()))).name
    moved = deployment(name="written-once", pool_name=other_pool, description="e")
    assert await orchestrator.ensure_deployment(moved) == deployment_id
    read = await client.read_deployment(deployment_id)
    assert (read.description, read.work_pool_name, read.entrypoint) == ("e", other_pool, ENTRYPOINT)


async def test_changing_a_deployment_keeps_the_jobs_that_wait(orchestrator: Orchestrator, pool: str) -> None:
    spec = deployment(name="changing", pool_name=pool)
    run_id = await orchestrator.create_run(run(await orchestrator.ensure_deployment(spec)))
    await orchestrator.ensure_deployment(deployment(name="changing", pool_name=pool, description="new"))
    assert await orchestrator.read_run(run_id) is not None


async def test_a_run_of_a_deleted_deployment_cannot_be_made(orchestrator: Orchestrator, pool: str) -> None:
    gone = await orchestrator.ensure_deployment(deployment(name="short-lived", pool_name=pool))
    await orchestrator.delete_deployment(gone)
    await orchestrator.delete_deployment(gone)
    with pytest.raises(DeploymentGone):
        await orchestrator.create_run(run(gone))


# Runs


async def test_a_runs_whole_life(orchestrator: Orchestrator, deployment_id: UUID, pool: str) -> None:
    enqueued = datetime.now(UTC) - timedelta(hours=2)
    run_id = await orchestrator.create_run(run(deployment_id, scheduled_time=enqueued))
    seen = await orchestrator.read_run(run_id)
    assert seen is not None
    assert (seen.state_type, seen.state_name, seen.message) == (
        StateType.SCHEDULED,
        "WaitingForWindow",
        "night opens at 22:00",
    )
    assert (seen.pool_name, seen.kept_from_polls) == (pool, True)
    assert seen.tags == {"queue:night", "user:alice"}
    assert seen.parameters == {"input": "shot_03.blend"}

    await orchestrator.show_waiting(run_id, HOST)
    waiting = await orchestrator.read_run(run_id)
    assert waiting is not None
    assert (waiting.state_name, waiting.message) == ("WaitingForHost", "gpu1 starts")
    assert waiting.expected_start_time == seen.expected_start_time

    await orchestrator.claim(run_id)
    await orchestrator.report_running(run_id)
    await orchestrator.report_end(run_id, End(state_type=StateType.FAILED, message="exit code 3"))
    ended = await orchestrator.read_run(run_id)
    assert ended is not None
    assert (ended.state_type, ended.state_name, ended.message) == (StateType.FAILED, "Failed", "exit code 3")


async def test_a_second_claim_is_refused_by_naming_the_state(
    orchestrator: Orchestrator, deployment_id: UUID
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    await orchestrator.claim(run_id)
    with pytest.raises(ClaimRefused) as refusal:
        await orchestrator.claim(run_id)
    assert refusal.value.state == StateType.PENDING
    assert refusal.value.run_id == run_id


async def test_a_run_on_hold_cannot_be_claimed_and_can_wait_again(
    orchestrator: Orchestrator, deployment_id: UUID
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    await orchestrator.hold(run_id, "postponed by alice")
    held = await orchestrator.read_run(run_id)
    assert held is not None
    assert (held.state_type, held.pause_timeout, held.pause_reschedule) == (StateType.PAUSED, None, True)
    with pytest.raises(ClaimRefused):
        await orchestrator.claim(run_id)
    await orchestrator.show_waiting(run_id, WINDOW)
    await orchestrator.claim(run_id)


async def test_an_end_against_a_cancel_needs_force(
    orchestrator: Orchestrator, client: PrefectClient, deployment_id: UUID
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    await orchestrator.claim(run_id)
    await orchestrator.report_running(run_id)
    await client.set_flow_run_state(run_id, Cancelling())
    end = End(state_type=StateType.COMPLETED)
    with pytest.raises(StateRefused) as refusal:
        await orchestrator.report_end(run_id, end)
    assert refusal.value.state == StateType.CANCELLING
    await orchestrator.report_end(run_id, end, force=True)


async def test_many_runs_get_one_state_and_those_that_do_not_are_left(
    orchestrator: Orchestrator, client: PrefectClient, deployment_id: UUID
) -> None:
    run_ids = [await orchestrator.create_run(run(deployment_id)) for _ in range(4)]
    for run_id in run_ids:
        await orchestrator.claim(run_id)
    gone, cancelling, *others = run_ids
    await orchestrator.delete_run(gone)
    await client.set_flow_run_state(cancelling, Cancelling())
    assert await orchestrator.report_running_all(run_ids) == set(others)
    end = End(state_type=StateType.FAILED, message="exit code 3")
    assert await orchestrator.report_end_all(run_ids, end) == {cancelling, *others}
    for run_id in others:
        flow_run = await client.read_flow_run(run_id)
        assert flow_run.state is not None
        assert (flow_run.state.name, flow_run.state.message) == ("Failed", "exit code 3")
        assert flow_run.start_time is not None
        assert flow_run.end_time is not None
        assert flow_run.start_time < flow_run.end_time


async def test_many_runs_whose_answer_was_lost_have_their_state(
    prefect_server: PrefectServer, orchestrator: Orchestrator, deployment_id: UUID
) -> None:
    run_ids = [await orchestrator.create_run(run(deployment_id)) for _ in range(3)]
    for run_id in run_ids:
        await orchestrator.claim(run_id)
    other = Orchestrator(prefect_server.api_url, SecretStr(prefect_server.auth_string))
    http = other._client._client
    async with other:
        http._transport = LostAnswer(http._transport)
        assert await other.report_running_all(run_ids) == set(run_ids)


async def test_a_run_that_had_ended_waits_again_without_any_poll_getting_it(
    orchestrator: Orchestrator, client: PrefectClient, deployment_id: UUID, pool: str
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    await orchestrator.report_end(run_id, End(state_type=StateType.COMPLETED))
    await orchestrator.show_waiting(run_id, WINDOW)
    read = await orchestrator.read_run(run_id)
    assert read is not None
    assert (read.state_name, read.kept_from_polls) == ("WaitingForWindow", True)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    polled = await client.get_scheduled_flow_runs_for_work_pool(pool, scheduled_before=tomorrow)
    assert run_id not in [response.flow_run.id for response in polled]


async def test_a_run_is_renamed_and_tagged_while_it_lives(
    orchestrator: Orchestrator, deployment_id: UUID
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    await orchestrator.rename(run_id, "#17 other")
    await orchestrator.set_tags(run_id, ["host:gpu1"])
    read = await orchestrator.read_run(run_id)
    assert read is not None
    assert (read.name, read.tags) == ("#17 other", frozenset({"host:gpu1"}))


async def test_a_deleted_run_is_gone(orchestrator: Orchestrator, deployment_id: UUID) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    await orchestrator.delete_run(run_id)
    await orchestrator.delete_run(run_id)
    assert await orchestrator.read_run(run_id) is None
    for call in (
        orchestrator.claim(run_id),
        orchestrator.report_running(run_id),
        orchestrator.hold(run_id, ""),
        orchestrator.rename(run_id, "x"),
        orchestrator.set_tags(run_id, []),
        orchestrator.show_waiting(run_id, WINDOW),
    ):
        with pytest.raises(RunGone):
            await call


async def test_live_runs_are_all_that_have_not_ended_over_every_page(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchd_flows.orchestrator.PAGE", 3)
    name = (await orchestrator.ensure_pool(PoolSpec(name=fresh_name()))).name
    deployment_id = await orchestrator.ensure_deployment(deployment(name=name, pool_name=name))
    run_ids = [await orchestrator.create_run(run(deployment_id)) for _ in range(8)]
    await orchestrator.claim(run_ids[0])
    await orchestrator.report_end(run_ids[7], End(state_type=StateType.CANCELLED))
    assert {view.id for view in await orchestrator.live_runs([name])} == set(run_ids[:7])
    assert {view.id for view in await orchestrator.live_runs()} >= set(run_ids[:7])


async def test_names_and_messages_from_anywhere_can_be_stored(
    orchestrator: Orchestrator, deployment_id: UUID
) -> None:
    nasty = "a\0b\ud800\r\n\x1b[1m ü"
    waiting = Waiting(code_name="WaitingForHost", message=nasty)
    spec = run(deployment_id, name=nasty, tags=(nasty,), parameters={"p": nasty}, waiting=waiting)
    read = await orchestrator.read_run(await orchestrator.create_run(spec))
    assert read is not None
    assert "ü" in read.name
    assert "ü" in read.message


async def test_a_long_log_is_few_records(
    orchestrator: Orchestrator, client: PrefectClient, deployment_id: UUID
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id))
    lines = [f"line {number}" for number in range(20_000)]
    block = LogBlock(time=datetime.now(UTC), level=logging.INFO, text="\n".join(lines) + "\n\0\ud800")
    await orchestrator.log(run_id, [block])
    stored = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])))
    text = "\n".join(record.message for record in stored)
    assert text.splitlines()[: len(lines)] == lines
    assert len(stored) < 10


@pytest.mark.parametrize("parameters", [{}, {"input": "shot_03.blend"}])
async def test_a18_a_run_started_by_prefects_own_engine_runs_nothing_and_says_so(
    orchestrator: Orchestrator,
    client: PrefectClient,
    prefect_server: PrefectServer,
    deployment_id: UUID,
    parameters: dict[str, str],
) -> None:
    run_id = await orchestrator.create_run(run(deployment_id, parameters=parameters))
    subprocess.run(
        [sys.executable, "-m", "prefect", "flow-run", "execute", str(run_id)],
        env=client_environment(prefect_server.server.settings),
        cwd=prefect_server.home,
        capture_output=True,
        timeout=60,
        check=False,
    )
    read = await orchestrator.read_run(run_id)
    assert read is not None
    assert read.state_type in {StateType.FAILED, StateType.CRASHED}
    log = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])))
    said = read.message + "".join(record.message for record in log)
    assert "only in a batchd dispatcher" in said.replace("_", " ")


def test_the_users_own_prefect_was_not_touched(prefect_server: PrefectServer) -> None:
    assert "batchd-tests" in os.environ["PREFECT_HOME"]
    assert not (prefect_server.home / "profiles.toml").exists()
