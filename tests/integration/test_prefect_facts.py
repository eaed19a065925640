"""What DESIGN.md builds on, asked of the installed Prefect; one that fails here moved with the version.

The pages' calls are those of the shipped bundle (server/ui-v2/assets: `runs`, `flow-run._id`, `flow-runs`).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateDetails
from prefect.client.schemas.objects import StateType as PrefectStateType

from batchd_flows import orchestrator_states as states
from batchd_flows.orchestrator_client import PatientTransport, prefect_client
from batchd_flows.orchestrator_records import End, RunSpec, StateType, Waiting
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

# The late-runs service is off in production; here it runs, so that "never Late" means something.
PREFECT_OVERRIDES = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "1",
}
WAITING = Waiting(code_name="WaitingForWindow", message="night opens at 22:00")


class Prefect:
    """A pool with a deployment, and the calls of the pages and of a stock worker on them."""

    def __init__(self, server: PrefectServer) -> None:
        user, _, password = server.auth_string.partition(":")
        self.client = prefect_client(server.api_url, server.auth_string)
        # Patient, because the server answers 503 whenever its own services hold SQLite.
        transport = PatientTransport(httpx.AsyncHTTPTransport(trust_env=False))
        self.pages = httpx.AsyncClient(
            base_url=server.api_url, auth=(user, password), timeout=30, transport=transport
        )
        self.pool = f"batchd-{uuid4().hex[:8]}"

    async def set_up(self, limit: int | None = None) -> None:
        body = {"name": self.pool, "type": "batchd", "concurrency_limit": limit}
        (await self.pages.post("/work_pools/", json=body)).raise_for_status()
        self.flow_id = await self.client.create_flow_from_name(f"flow-{self.pool}")
        self.deployment_id = await self.client.create_deployment(self.flow_id, "d", work_pool_name=self.pool)

    async def create(self, **changes: Any) -> UUID:
        fields: dict[str, Any] = {
            "deployment_id": self.deployment_id,
            "name": "#17 blender shot_03.blend",
            "idempotency_key": f"batchd:{uuid4()}",
            "waiting": WAITING,
            "scheduled_time": datetime.now(UTC),
        }
        creation = states.run_creation(RunSpec(**(fields | changes)))
        answer = await self.pages.post(f"/deployments/{self.deployment_id}/create_flow_run", json=creation)
        answer.raise_for_status()
        return UUID(answer.json()["id"])

    async def create_stock(self) -> UUID:
        """A run as Prefect makes it, for comparison."""
        return (await self.client.create_flow_run_from_deployment(self.deployment_id)).id

    async def set(self, run_id: UUID, state: State[Any], force: bool = False) -> str:
        return (await self.client.set_flow_run_state(run_id, state, force=force)).status.value

    async def read(self, run_id: UUID) -> FlowRun:
        return await self.client.read_flow_run(run_id)

    async def state(self, run_id: UUID) -> tuple[str, str]:
        run = await self.read(run_id)
        assert run.state_type is not None
        return run.state_type.value, run.state_name or ""

    async def polled(self) -> list[UUID]:
        """What a stock worker is handed."""
        soon = datetime.now(UTC) + timedelta(days=1)
        answers = await self.client.get_scheduled_flow_runs_for_work_pool(self.pool, scheduled_before=soon)
        return [answer.flow_run.id for answer in answers]

    # The pages

    async def runs_page(self) -> list[UUID]:
        body = {"page": 1, "limit": 100, "sort": "START_TIME_DESC"}
        return await self._page_of("/flow_runs/paginate", body)

    async def dashboard(self) -> list[UUID]:
        """Its cards look at one day of `expected_start_time` by state type."""
        now = datetime.now(UTC)
        seen = {"after_": (now - timedelta(days=1)).isoformat(), "before_": now.isoformat()}
        waiting = {"operator": "and_", "type": {"any_": ["SCHEDULED", "PAUSED"]}}
        flow_runs = {"operator": "and_", "expected_start_time": seen, "state": waiting}
        body = {"sort": "START_TIME_DESC", "limit": 100, "offset": 0, "flow_runs": flow_runs}
        answer = await self.pages.post("/flow_runs/filter", json=body)
        answer.raise_for_status()
        return [UUID(run["id"]) for run in answer.json()]

    async def _page_of(self, path: str, body: dict[str, Any]) -> list[UUID]:
        answer = await self.pages.post(path, json=body)
        answer.raise_for_status()
        return [UUID(run["id"]) for run in answer.json()["results"]]

    async def page_sets(self, run_id: UUID, state: dict[str, Any]) -> str:
        answer = await self.pages.post(f"/flow_runs/{run_id}/set_state", json={"state": state, "force": True})
        answer.raise_for_status()
        return str(answer.json()["status"])

    async def press_cancel(self, run_id: UUID) -> str:
        return await self.page_sets(run_id, {"type": "CANCELLING", "name": "Cancelling"})

    async def press_pause(self, run_id: UUID, seconds: float = 300) -> str:
        details = {
            "pause_timeout": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
            "pause_reschedule": True,
            "deferred": False,
            "untrackable_result": False,
        }
        return await self.page_sets(run_id, {"type": "PAUSED", "name": "Suspended", "state_details": details})

    async def press_retry(self, run_id: UUID) -> str:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        return await self.page_sets(run_id, state)

    async def press_resume(self, run_id: UUID) -> str:
        answer = await self.pages.post(f"/flow_runs/{run_id}/resume")
        answer.raise_for_status()
        return str(answer.json()["status"])


@pytest.fixture(scope="module")
async def prefect(prefect_server: PrefectServer) -> AsyncIterator[Prefect]:
    prefect = Prefect(prefect_server)
    async with prefect.client, prefect.pages:
        await prefect.set_up()
        yield prefect


async def running(prefect: Prefect) -> UUID:
    run_id = await prefect.create()
    assert await prefect.set(run_id, states.pending_state()) == "ACCEPT"
    assert await prefect.set(run_id, states.running_state()) == "ACCEPT"
    return run_id


def final(state_type: str) -> State[Any]:
    return states.end_state(End(state_type=StateType(state_type)))


async def until(prefect: Prefect, run_id: UUID, wanted: tuple[str, str], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while (seen := await prefect.state(run_id)) != wanted:
        assert time.monotonic() < deadline, f"{run_id} is {seen}, not {wanted}, after {seconds} s"
        await asyncio.sleep(0.1)


# A waiting run


async def test_a_waiting_run_is_on_the_default_pages(prefect: Prefect) -> None:
    run_id = await prefect.create()
    assert run_id in await prefect.runs_page()
    assert run_id in await prefect.dashboard()


async def test_a_waiting_run_is_in_no_poll(prefect: Prefect) -> None:
    waiting, stock = await prefect.create(), await prefect.create_stock()
    polled = await prefect.polled()
    assert stock in polled
    assert waiting not in polled
    await prefect.client.delete_flow_run(stock)


async def test_a_waiting_run_is_never_late(prefect: Prefect) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    waiting, stock = await prefect.create(scheduled_time=past), await prefect.create_stock()
    await until(prefect, stock, ("SCHEDULED", "Late"))  # the service has looked, and later than at ours
    assert await prefect.state(waiting) == ("SCHEDULED", "WaitingForWindow")
    await prefect.client.delete_flow_run(stock)


async def test_a_waiting_run_keeps_the_date_of_its_enqueue(prefect: Prefect) -> None:
    enqueued = datetime.now(UTC) - timedelta(hours=3)
    run_id = await prefect.create(scheduled_time=enqueued)
    other = Waiting(code_name="WaitingForHost", message="gpu1 starts")
    assert await prefect.set(run_id, states.waiting_state(other, datetime.now(UTC))) == "ACCEPT"
    run = await prefect.read(run_id)
    assert run.expected_start_time is not None
    assert abs(run.expected_start_time - enqueued) < timedelta(seconds=1)
    assert run_id not in await prefect.polled()


async def test_a_waiting_run_becomes_pending_running_and_completed_without_force(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.set(run_id, final("COMPLETED")) == "ACCEPT"
    assert await prefect.state(run_id) == ("COMPLETED", "Completed")


async def test_a_pending_without_a_time_of_its_own_copies_the_waiting_runs(prefect: Prefect) -> None:
    run_id = await prefect.create(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    assert await prefect.set(run_id, State(type=PrefectStateType.PENDING)) == "ACCEPT"
    assert await prefect.set(run_id, states.running_state()) == "WAIT"


async def test_a_second_pending_aborts(prefect: Prefect) -> None:
    run_id = await prefect.create()
    assert await prefect.set(run_id, states.pending_state()) == "ACCEPT"
    assert await prefect.set(run_id, states.pending_state()) == "ABORT"


async def test_of_many_who_claim_at_once_one_succeeds(prefect: Prefect) -> None:
    run_id = await prefect.create()
    claims = [prefect.set(run_id, states.pending_state()) for _ in range(5)]
    assert sorted(await asyncio.gather(*claims)) == ["ABORT"] * 4 + ["ACCEPT"]


@pytest.mark.parametrize("ended", ["COMPLETED", "FAILED", "CRASHED"])
async def test_an_ended_run_may_be_claimed_again(prefect: Prefect, ended: str) -> None:
    """So Prefect's rules are no guard against a second start: the attempt's token is."""
    run_id = await running(prefect)
    assert await prefect.set(run_id, final(ended)) == "ACCEPT"
    assert await prefect.set(run_id, states.pending_state()) == "ACCEPT"


async def test_a_cancelled_run_may_not_be_claimed(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.set(run_id, final("CANCELLED")) == "ACCEPT"
    assert await prefect.set(run_id, states.pending_state()) == "ABORT"


async def test_an_end_that_was_scheduled_again_is_handed_out_by_polls(prefect: Prefect) -> None:
    """The mark is lost on the unforced way back, and kept on the forced one."""
    unforced, forced = await running(prefect), await running(prefect)
    for run_id, force in ((unforced, False), (forced, True)):
        assert await prefect.set(run_id, final("FAILED")) == "ACCEPT"
        await prefect.client.update_flow_run(run_id, empirical_policy=states.kept_from_polls())
        state = states.waiting_state(WAITING, datetime.now(UTC))
        assert await prefect.set(run_id, state, force) == "ACCEPT"
    polled = await prefect.polled()
    assert unforced in polled
    assert forced not in polled


async def test_an_idempotency_key_returns_the_dead_run(prefect: Prefect) -> None:
    key = f"batchd:{uuid4()}"
    run_id = await prefect.create(idempotency_key=key)
    assert await prefect.set(run_id, final("CANCELLED")) == "ACCEPT"
    assert await prefect.create(idempotency_key=key) == run_id
    assert await prefect.state(run_id) == ("CANCELLED", "Cancelled")


async def test_the_key_of_a_deleted_run_is_free(prefect: Prefect) -> None:
    key = f"batchd:{uuid4()}"
    run_id = await prefect.create(idempotency_key=key)
    await prefect.client.delete_flow_run(run_id)
    assert await prefect.create(idempotency_key=key) != run_id


async def test_g12_parameters_that_prefect_would_evaluate_arrive_as_they_were(prefect: Prefect) -> None:
    evil = {"__prefect_kind": "jinja", "template": "{{ 7 * 7 }}"}
    parameters = {"a": evil, "b": [{"c": evil}], "d": "{{ prefect.blocks.secret.x }}"}
    run = await prefect.read(await prefect.create(parameters=parameters))
    assert run.parameters == parameters


# The pages' buttons


async def test_cancel_on_a_waiting_run_ends_it_at_once(prefect: Prefect) -> None:
    run_id = await prefect.create()
    assert await prefect.press_cancel(run_id) == "REJECT"
    assert await prefect.state(run_id) == ("CANCELLED", "Cancelled")


async def test_cancel_on_a_running_run_only_asks(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.press_cancel(run_id) == "ACCEPT"
    assert await prefect.state(run_id) == ("CANCELLING", "Cancelling")
    assert await prefect.set(run_id, final("COMPLETED")) == "REJECT"
    assert await prefect.set(run_id, final("CANCELLED")) == "ACCEPT"


async def test_only_force_gives_a_cancelling_run_its_true_end(prefect: Prefect) -> None:
    run_id = await running(prefect)
    await prefect.press_cancel(run_id)
    assert await prefect.set(run_id, final("COMPLETED"), force=True) == "ACCEPT"
    assert await prefect.state(run_id) == ("COMPLETED", "Completed")


@pytest.mark.parametrize("begin", ["waiting", "running"])
async def test_pause_turns_into_a_failure_when_its_time_is_over(prefect: Prefect, begin: str) -> None:
    run_id = await (prefect.create() if begin == "waiting" else running(prefect))
    assert await prefect.press_pause(run_id, seconds=1) == "ACCEPT"
    assert await prefect.state(run_id) == ("PAUSED", "Suspended")
    await until(prefect, run_id, ("FAILED", "Failed"))


async def test_a_hold_of_ours_has_no_time_and_resumes_into_no_poll(prefect: Prefect) -> None:
    held, doomed = await prefect.create(), await prefect.create()
    assert await prefect.set(held, states.held_state("by alice")) == "REJECT"
    assert await prefect.set(held, states.held_state("by alice"), force=True) == "ACCEPT"
    await prefect.press_pause(doomed, seconds=1)
    await until(prefect, doomed, ("FAILED", "Failed"))  # the service has looked
    assert await prefect.state(held) == ("PAUSED", "Paused")
    assert await prefect.press_resume(held) == "ACCEPT"
    assert await prefect.state(held) == ("SCHEDULED", "Resuming")
    assert held not in await prefect.polled()


async def test_cancel_on_a_held_run_ends_it_at_once(prefect: Prefect) -> None:
    run_id = await prefect.create()
    await prefect.set(run_id, states.held_state("by alice"), force=True)
    await prefect.press_cancel(run_id)
    assert await prefect.state(run_id) == ("CANCELLED", "Cancelled")


async def test_a_pause_without_reschedule_resumes_into_a_running_with_nothing_behind_it(
    prefect: Prefect,
) -> None:
    run_id = await running(prefect)
    paused: State[Any] = State(
        type=PrefectStateType.PAUSED, state_details=StateDetails(pause_reschedule=False)
    )
    assert await prefect.set(run_id, paused) == "ACCEPT"
    assert await prefect.press_resume(run_id) == "ACCEPT"
    assert await prefect.state(run_id) == ("RUNNING", "Running")


async def test_retry_reuses_the_run_and_polls_hand_it_out(prefect: Prefect) -> None:
    run_id = await running(prefect)
    await prefect.set(run_id, final("FAILED"))
    assert await prefect.press_retry(run_id) == "ACCEPT"
    assert await prefect.state(run_id) == ("SCHEDULED", "AwaitingRetry")
    assert run_id in await prefect.polled()
    assert await prefect.set(run_id, final("FAILED"), force=True) == "ACCEPT"  # "put back"


async def test_resume_on_a_run_that_is_not_paused_changes_nothing(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.press_resume(run_id) == "ABORT"
    assert await prefect.state(run_id) == ("RUNNING", "Running")


async def test_delete_takes_a_running_run_away_at_once(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert (await prefect.pages.delete(f"/flow_runs/{run_id}")).status_code == 204
    assert (await prefect.pages.get(f"/flow_runs/{run_id}")).status_code == 404


# Transitions

FREE = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


@pytest.mark.parametrize("wanted", FREE)
async def test_any_live_run_may_end_in_any_way(prefect: Prefect, wanted: str) -> None:
    waiting, pending = await prefect.create(), await prefect.create()
    await prefect.set(pending, states.pending_state())
    held = await prefect.create()
    await prefect.set(held, states.held_state(""), force=True)
    for run_id in (waiting, pending, await running(prefect), held):
        assert await prefect.set(run_id, final(wanted)) == "ACCEPT"


async def test_a_finished_run_may_change_its_end_but_not_to_crashed(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.set(run_id, final("CRASHED")) == "ACCEPT"
    assert await prefect.set(run_id, final("COMPLETED")) == "ACCEPT"
    assert await prefect.set(run_id, final("CRASHED")) == "ABORT"
    assert await prefect.set(run_id, final("CRASHED"), force=True) == "ACCEPT"


async def test_running_twice_is_accepted(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.set(run_id, states.running_state()) == "ACCEPT"


async def test_a_live_run_may_go_back_to_waiting(prefect: Prefect) -> None:
    run_id = await running(prefect)
    assert await prefect.set(run_id, states.waiting_state(WAITING, datetime.now(UTC))) == "ACCEPT"
    assert run_id not in await prefect.polled()


# Deletions


async def test_deleting_a_pool_leaves_its_runs_without_one_and_their_keys_taken(
    prefect_server: PrefectServer,
) -> None:
    prefect = Prefect(prefect_server)
    async with prefect.client, prefect.pages:
        await prefect.set_up()
        key = f"batchd:{uuid4()}"
        run_id = await prefect.create(idempotency_key=key)
        await prefect.client.delete_work_pool(prefect.pool)
        run = await prefect.read(run_id)
        assert run.work_pool_name is None
        assert run.state_name == "WaitingForWindow"
        assert await prefect.create(idempotency_key=key) == run_id


async def test_deleting_a_deployment_deletes_its_waiting_runs_only(prefect_server: PrefectServer) -> None:
    prefect = Prefect(prefect_server)
    async with prefect.client, prefect.pages:
        await prefect.set_up()
        waiting, at_work = await prefect.create(), await running(prefect)
        await prefect.client.delete_deployment(prefect.deployment_id)
        assert (await prefect.pages.get(f"/flow_runs/{waiting}")).status_code == 404
        assert await prefect.state(at_work) == ("RUNNING", "Running")
        assert (await prefect.read(at_work)).deployment_id == prefect.deployment_id  # though that is gone


# Speed


@pytest.mark.parametrize("limit", [1, 4])
async def test_direct_claims_reach_eight_jobs_a_second(
    prefect_server: PrefectServer, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    prefect = Prefect(prefect_server)
    async with prefect.client, prefect.pages:
        await prefect.set_up(limit)
        rates = [await _rate(prefect, limit)]
        while max(rates) < 8 and len(rates) < 5:
            rates.append(await _rate(prefect, limit))
    with capsys.disabled():
        print(f"\n  limit {limit}: " + " ".join(f"{rate:.1f}" for rate in rates) + " jobs/s")
    assert max(rates) >= 8


async def _rate(prefect: Prefect, limit: int, jobs: int = 12) -> float:
    """Jobs a second, one writer, `limit` of them between Pending and their end at any moment."""
    waiting = [await prefect.create() for _ in range(jobs)]
    begin = time.monotonic()
    for first in range(0, jobs, limit):
        slots = waiting[first : first + limit]
        for state in (states.pending_state(), states.running_state(), final("COMPLETED")):
            for run_id in slots:
                assert await prefect.set(run_id, state) == "ACCEPT"
    return jobs / (time.monotonic() - begin)
