"""The only module that talks to Prefect: pools, deployments and flow runs, one write at a time."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkPoolFilterType,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.objects import StateType as PrefectStateType
from prefect.client.schemas.responses import DeploymentResponse, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from pydantic import SecretStr

from batchd_flows import orchestrator_states as states
from batchd_flows.names import WINDOWS_POOL
from batchd_flows.orchestrator_client import prefect_client, translated
from batchd_flows.orchestrator_records import (
    LIVE_STATES,
    POOL_TYPE,
    ClaimRefused,
    DeploymentGone,
    DeploymentSpec,
    End,
    Gone,
    LogBlock,
    OrchestratorRefused,
    PoolGone,
    PoolOfAnotherType,
    PoolSpec,
    PoolView,
    RunGone,
    RunSpec,
    RunView,
    StateRefused,
    StateType,
    Waiting,
)
from batchd_flows.orchestrator_text import log_records, requests_of, storable
from batchd_flows.server_health import answers_healthy
from batchd_flows.versions import BrokenVersions, pins_advice
from batchd_flows.worker import BatchdWorkerBase

PAGE = 200  # the server's own limit


class Orchestrator:
    """Writes are made one at a time: on SQLite that is faster than several, and nothing is locked."""

    def __init__(self, api_url: str, auth_string: SecretStr | None, api_key: SecretStr | None = None) -> None:
        """`auth_string` is the server's own kind of login; `api_key` a token, for one that asks for that."""
        self.api_url = api_url
        self.auth_string = auth_string
        plain = auth_string.get_secret_value() if auth_string is not None else None
        key = api_key.get_secret_value() if api_key is not None else None
        self._client: PrefectClient = prefect_client(api_url, plain, key)
        self._write = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    @property
    def client(self) -> PrefectClient:
        """For the modules beside this one; their calls are `translated`, their writes made in `writing`."""
        return self._client

    def writing(self, gone: Gone | None = None) -> AbstractAsyncContextManager[None]:
        """The one write at a time, with its errors as ours; `gone` is what a 404 means."""
        return self._writing(gone)

    async def healthy(self) -> bool:
        """One short question, without retries."""
        return await answers_healthy(self.api_url)

    async def probe(self) -> None:
        """A read with nothing but defaults, which a wrong pair of Prefect and FastAPI cannot answer.

        Raises BrokenVersions, OrchestratorRefused (a wrong auth string), OrchestratorUnavailable.
        """
        try:
            with translated():
                await self._client.read_flow_runs()
        except OrchestratorRefused as refusal:
            if refusal.status == 422:
                raise BrokenVersions(
                    f"The Prefect server at {self.api_url} does not understand Prefect's own client:"
                    f" {pins_advice()} where it runs."
                ) from refusal
            raise

    # Pools

    async def ensure_pool(self, spec: PoolSpec) -> PoolView:
        """Have this pool, written only where something differs. Raises PoolOfAnotherType."""
        pool = await self.read_pool(spec.name)
        if pool is None:
            return await self._create_pool(spec)
        if pool.type != POOL_TYPE:
            raise PoolOfAnotherType(spec.name, pool.type)
        wanted = (storable(spec.description), spec.concurrency_limit, spec.paused)
        if wanted != (pool.description, pool.concurrency_limit, pool.paused):
            async with self._writing(PoolGone(spec.name)):
                await self._client.update_work_pool(
                    spec.name,
                    WorkPoolUpdate(
                        description=storable(spec.description),
                        concurrency_limit=spec.concurrency_limit,
                        is_paused=spec.paused,
                    ),
                )
            return await self.read_pool(spec.name) or await self._create_pool(spec)
        return pool

    async def read_pool(self, name: str) -> PoolView | None:
        try:
            with translated(PoolGone(name)):
                return states.pool_view(await self._client.read_work_pool(name))
        except PoolGone:
            return None

    async def read_pools(self) -> list[PoolView]:
        """All pools of our type."""
        with translated():
            pools = await self._client.read_work_pools(
                limit=PAGE, work_pool_filter=WorkPoolFilter(type=WorkPoolFilterType(any_=[POOL_TYPE]))
            )
        return [states.pool_view(pool) for pool in pools]

    async def resume_work_queue(self, pool_name: str) -> bool:
        """Resume the pool's default work queue where it is paused; whether that was needed."""
        try:
            with translated(PoolGone(pool_name)):
                queue = await self._client.read_work_queue_by_name("default", work_pool_name=pool_name)
            if not queue.is_paused:
                return False
            async with self._writing(PoolGone(pool_name)):
                await self._client.update_work_queue(queue.id, is_paused=False)
        except PoolGone:
            return False
        return True

    async def delete_pool(self, name: str) -> None:
        """The pool's runs stay, without one. Gone already is fine."""
        try:
            async with self._writing(PoolGone(name)):
                await self._client.delete_work_pool(name)
        except PoolGone:
            return

    async def heartbeat(self, pool_name: str, worker_name: str, interval_seconds: int) -> None:
        """Show pool and worker as ready for the next intervals. Raises PoolGone."""
        async with self._writing(PoolGone(pool_name)):
            await self._client.send_worker_heartbeat(pool_name, worker_name, interval_seconds)

    async def _create_pool(self, spec: PoolSpec) -> PoolView:
        creation = WorkPoolCreate(
            name=spec.name,
            type=POOL_TYPE,
            description=storable(spec.description),
            base_job_template=BatchdWorkerBase.get_default_base_job_template(),
            concurrency_limit=spec.concurrency_limit,
            is_paused=spec.paused,
        )
        async with self._writing():
            try:
                return states.pool_view(await self._client.create_work_pool(creation))
            except ObjectAlreadyExists:  # somebody was first, or our answer was lost
                return states.pool_view(await self._client.read_work_pool(spec.name))

    # Deployments

    async def ensure_deployment(self, spec: DeploymentSpec) -> UUID:
        """Have this deployment, written only where something differs. Raises PoolGone.

        A write deletes the coming runs of its schedules (Prefect makes new ones); waiting runs of jobs stay.
        """
        deployment = await self._read_deployment(spec)
        if deployment is None:
            async with self._writing(PoolGone(spec.pool_name)):
                flow_id = await self._client.create_flow_from_name(spec.flow_name)
                return await self._client.create_deployment(
                    flow_id=flow_id, name=spec.name, **_deployment_fields(spec)
                )
        wanted = _deployment_fields(spec)
        if wanted != {name: getattr(deployment, name) for name in wanted}:
            if deployment.work_pool_name != spec.pool_name and await self.read_pool(spec.pool_name) is None:
                raise PoolGone(spec.pool_name)
            async with self._writing(DeploymentGone(deployment.id)):
                await self._client.update_deployment(deployment.id, DeploymentUpdate(**wanted))
        return deployment.id

    async def delete_deployment(self, deployment_id: UUID) -> None:
        """Its waiting runs go with it. Gone already is fine."""
        try:
            async with self._writing(DeploymentGone(deployment_id)):
                await self._client.delete_deployment(deployment_id)
        except DeploymentGone:
            return

    async def _read_deployment(self, spec: DeploymentSpec) -> DeploymentResponse | None:
        with translated():
            try:
                return await self._client.read_deployment_by_name(f"{spec.flow_name}/{spec.name}")
            except ObjectNotFound:
                return None

    # Runs

    async def create_run(self, spec: RunSpec) -> UUID:
        """A waiting run, or the one that has this key, whatever became of it. Raises DeploymentGone."""
        async with self._writing(DeploymentGone(spec.deployment_id)):
            response = await self._client.request(
                "POST",
                "/deployments/{id}/create_flow_run",
                path_params={"id": spec.deployment_id},
                json=states.run_creation(spec),
            )
        return FlowRun.model_validate(response.json()).id

    async def show_waiting(self, run_id: UUID, waiting: Waiting) -> None:
        """Write why the run waits. From a final state this also marks it again as one for no poll."""
        run = await self._read(run_id)
        if not run.kept_from_polls:
            async with self._writing(RunGone(run_id)):
                await self._client.update_flow_run(run_id, empirical_policy=states.kept_from_polls())
        scheduled_time = run.expected_start_time
        if scheduled_time is None:
            raise StateRefused(run_id, StateType.SCHEDULED, run.state_type, "it was never scheduled")
        # Forced from an end, where the rules would take the mark away again; never over a person's cancel.
        state = states.waiting_state(waiting, scheduled_time)
        await self._set(run_id, state, force=run.state_type.is_final)

    async def claim(self, run_id: UUID) -> None:
        """Take the run, exclusively: of several who try, one succeeds. Raises ClaimRefused, RunGone.

        Prefect lets a run that has ended be claimed again; the attempt's token is what guards against that.
        """
        try:
            await self._set(run_id, states.pending_state())
        except StateRefused as refusal:
            raise ClaimRefused(run_id, refusal.state, refusal.why) from refusal

    async def report_running(self, run_id: UUID, *, force: bool = False) -> None:
        await self._set(run_id, states.running_state(), force=force)

    async def report_end(self, run_id: UUID, end: End, *, force: bool = False) -> None:
        """Raises StateRefused: from CANCELLING only CANCELLED is allowed without `force`."""
        await self._set(run_id, states.end_state(end), force=force)

    async def report_running_all(self, run_ids: Sequence[UUID]) -> set[UUID]:
        """In one call, which is cheaper than one each. Those that took it; of the rest, ask one by one."""
        return await self._set_all(run_ids, states.running_state())

    async def report_end_all(self, run_ids: Sequence[UUID], end: End) -> set[UUID]:
        """The same end for all, whatever stands there. Those that are there."""
        return await self._set_all(run_ids, states.end_state(end), force=True)

    async def hold(self, run_id: UUID, message: str) -> None:
        """Paused until a person resumes it. Forced, because Prefect pauses only what is running."""
        await self._set(run_id, states.held_state(message), force=True)

    async def rename(self, run_id: UUID, name: str) -> None:
        async with self._writing(RunGone(run_id)):
            await self._client.update_flow_run(run_id, name=storable(name))

    async def set_tags(self, run_id: UUID, tags: Sequence[str]) -> None:
        async with self._writing(RunGone(run_id)):
            await self._client.update_flow_run(run_id, tags=[storable(tag) for tag in tags])

    async def delete_run(self, run_id: UUID) -> None:
        """Gone already is fine."""
        try:
            async with self._writing(RunGone(run_id)):
                await self._client.delete_flow_run(run_id)
        except RunGone:
            return

    async def read_run(self, run_id: UUID) -> RunView | None:
        try:
            return await self._read(run_id)
        except RunGone:
            return None

    async def live_runs(self, pool_names: Collection[str] | None = None) -> list[RunView]:
        """The runs that have not ended, of these pools or of all the queues', newest first.

        A run may be missed when others end between two pages: ask `read_run` before believing it deleted.
        """
        pools = (
            WorkPoolFilter(type=WorkPoolFilterType(any_=[POOL_TYPE]))
            if pool_names is None
            else WorkPoolFilter(name=WorkPoolFilterName(any_=list(pool_names)))
        )
        live = FlowRunFilterStateType(any_=[PrefectStateType(state.value) for state in LIVE_STATES])
        found: dict[UUID, RunView] = {}
        for offset in range(0, 1_000_000, PAGE):
            with translated():
                page = await self._client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=live)),
                    work_pool_filter=pools,
                    sort=FlowRunSort.ID_DESC,
                    limit=PAGE,
                    offset=offset,
                )
            found |= {run.id: states.run_view(run) for run in page}
            if len(page) < PAGE:
                break
        # The runs of queue windows are nobody's jobs.
        return [run for run in found.values() if pool_names or run.pool_name != WINDOWS_POOL]

    async def log(self, run_id: UUID, blocks: Sequence[LogBlock]) -> None:
        """Add to the run's log; few large records cost a fraction of many lines."""
        for records in requests_of(log_records(blocks)):
            async with self._writing():
                await self._client.create_logs([states.log_creation(run_id, record) for record in records])

    async def _read(self, run_id: UUID) -> RunView:
        with translated(RunGone(run_id)):
            return states.run_view(await self._client.read_flow_run(run_id))

    async def _set(self, run_id: UUID, state: State[Any], *, force: bool = False) -> None:
        async with self._writing(RunGone(run_id)):
            result = await self._client.set_flow_run_state(run_id, state, force=force)
        reason = getattr(result.details, "reason", None) or "a rule of Prefect's"
        # Rejected as repeated: our own request, whose first answer was lost.
        if result.status == SetStateStatus.ACCEPT or reason == states.REPEATED:
            return
        current = await self._read(run_id)
        raise StateRefused(run_id, StateType(state.type.value), current.state_type, reason)

    async def _set_all(self, run_ids: Sequence[UUID], state: State[Any], *, force: bool = False) -> set[UUID]:
        path: Any = "/flow_runs/bulk_set_state"  # the client's own list of paths lacks it
        async with self._writing():
            change = states.bulk_change(run_ids, state, force=force)
            response = await self._client.request("POST", path, json=change)
        return states.took(response.json())

    @asynccontextmanager
    async def _writing(self, gone: Gone | None = None) -> AsyncIterator[None]:
        async with self._write:
            with translated(gone):
                yield


def _deployment_fields(spec: DeploymentSpec) -> dict[str, Any]:
    """Under Prefect's names, as both a creation and a look at what is there use them."""
    return {
        "description": storable(spec.description),
        "parameter_openapi_schema": dict(spec.parameter_schema),
        "entrypoint": spec.entrypoint,
        "tags": list(spec.tags),
        "work_pool_name": spec.pool_name,
        "enforce_parameter_schema": bool(spec.parameter_schema),
    }
