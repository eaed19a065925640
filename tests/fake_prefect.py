"""Prefect in memory, with its rules for states, its idempotency keys, and faults on demand."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from batchd_flows.orchestrator_records import (
    LIVE_STATES,
    ClaimRefused,
    DeploymentGone,
    DeploymentSpec,
    End,
    LogBlock,
    OrchestratorUnavailable,
    PoolGone,
    PoolSpec,
    PoolView,
    RunGone,
    RunSpec,
    RunView,
    StateRefused,
    StateType,
    Waiting,
)

T = StateType
# From → to, where Prefect refuses without force (PREFECT.md's table).
REFUSED: dict[StateType, set[StateType]] = {
    T.SCHEDULED: {T.PAUSED},
    T.PENDING: {T.PENDING, T.PAUSED},
    T.RUNNING: {T.PENDING},
    T.PAUSED: {T.PENDING, T.PAUSED},
    T.CANCELLING: {state for state in T if state is not T.CANCELLED},
    T.CANCELLED: {T.PENDING, T.PAUSED, T.CANCELLING, T.CRASHED},
    T.COMPLETED: {T.PENDING, T.PAUSED, T.CANCELLING, T.CRASHED},
    T.FAILED: {T.PENDING, T.PAUSED, T.CANCELLING, T.CRASHED},
    T.CRASHED: {T.PENDING, T.PAUSED, T.CANCELLING, T.CRASHED},
}
NAMES = {T.PENDING: "Pending", T.RUNNING: "Running", T.PAUSED: "Paused"}


@dataclass
class Fault:
    """The write number `at` from now fails; its effect happens before that, or does not."""

    at: int
    after_effect: bool


class FakePrefect:
    """The methods of `Orchestrator` that the batchd side uses."""

    api_url = "memory"
    auth_string = None

    def __init__(self) -> None:
        self.runs: dict[UUID, RunView] = {}
        self.pools: dict[str, PoolView] = {}
        self.deployments: dict[UUID, DeploymentSpec] = {}
        self.fault: Fault | None = None
        self.claims: list[UUID] = []

    # What a person does

    def by_hand(self, run_id: UUID, state: StateType, name: str = "By hand", **fields: Any) -> None:
        self.runs[run_id] = replace(self.runs[run_id], state_type=state, state_name=name, **fields)

    # What the orchestrator does

    async def probe(self) -> None: ...

    async def healthy(self) -> bool:
        return True

    async def read_pools(self) -> list[PoolView]:
        return list(self.pools.values())

    async def resume_work_queue(self, pool_name: str) -> bool:
        return False

    async def ensure_pool(self, spec: PoolSpec) -> PoolView:
        with self._write():
            view = PoolView(
                name=spec.name,
                type="batchd",
                description=spec.description,
                concurrency_limit=spec.concurrency_limit,
                paused=spec.paused,
                ready=True,
            )
            self.pools[spec.name] = view
            return view

    async def delete_pool(self, name: str) -> None:
        with self._write():
            self.drop_pool(name)

    def drop_pool(self, name: str) -> None:
        """Its runs stay, without a pool."""
        self.pools.pop(name, None)
        for run in [run for run in self.runs.values() if run.pool_name == name]:
            self.runs[run.id] = replace(run, pool_name=None)

    async def heartbeat(self, pool_name: str, worker_name: str, interval_seconds: int) -> None:
        if pool_name not in self.pools:
            raise PoolGone(pool_name)

    async def ensure_deployment(self, spec: DeploymentSpec) -> UUID:
        with self._write():
            if spec.pool_name not in self.pools:
                raise PoolGone(spec.pool_name)
            deployment_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{spec.flow_name}/{spec.name}")
            self.deployments[deployment_id] = spec
            return deployment_id

    async def create_run(self, spec: RunSpec) -> UUID:
        with self._write():
            if spec.deployment_id not in self.deployments:
                raise DeploymentGone(spec.deployment_id)
            for run in self.runs.values():
                if run.idempotency_key == spec.idempotency_key:
                    return run.id
            run = self._new_run(spec)
            self.runs[run.id] = run
            return run.id

    def _new_run(self, spec: RunSpec) -> RunView:
        pool = self.deployments[spec.deployment_id].pool_name
        return RunView(
            id=uuid.uuid4(),
            name=spec.name,
            tags=frozenset(spec.tags),
            state_type=T.SCHEDULED,
            state_name=spec.waiting.code_name,
            message=spec.waiting.message,
            deployment_id=spec.deployment_id,
            pool_name=pool if pool in self.pools else None,
            idempotency_key=spec.idempotency_key,
            parameters=dict(spec.parameters),
            expected_start_time=spec.scheduled_time,
            pause_timeout=None,
            pause_reschedule=False,
            kept_from_polls=True,
        )

    async def show_waiting(self, run_id: UUID, waiting: Waiting) -> None:
        forced = self._read(run_id).state_type.is_final
        self._set(run_id, T.SCHEDULED, waiting.code_name, force=forced)

    async def claim(self, run_id: UUID) -> None:
        try:
            self._set(run_id, T.PENDING)
        except StateRefused as refusal:
            raise ClaimRefused(run_id, refusal.state, "refused") from refusal
        self.claims.append(run_id)

    async def report_running(self, run_id: UUID, *, force: bool = False) -> None:
        self._set(run_id, T.RUNNING, force=force)

    async def report_end(self, run_id: UUID, end: End, *, force: bool = False) -> None:
        self._set(run_id, end.state_type, force=force)

    async def report_running_all(self, run_ids: Sequence[UUID]) -> set[UUID]:
        return self._set_all(run_ids, T.RUNNING, force=False)

    async def report_end_all(self, run_ids: Sequence[UUID], end: End) -> set[UUID]:
        return self._set_all(run_ids, end.state_type, force=True)

    async def hold(self, run_id: UUID, message: str) -> None:
        self._set(run_id, T.PAUSED, force=True, pause_reschedule=True, pause_timeout=None)

    async def rename(self, run_id: UUID, name: str) -> None:
        self.runs[run_id] = replace(self._read(run_id), name=name)

    async def delete_run(self, run_id: UUID) -> None:
        with self._write():
            self.runs.pop(run_id, None)

    async def read_run(self, run_id: UUID) -> RunView | None:
        return self.runs.get(run_id)

    async def live_runs(self, pool_names: Collection[str] | None = None) -> list[RunView]:
        return [run for run in self.runs.values() if run.state_type in LIVE_STATES and run.pool_name]

    async def log(self, run_id: UUID, blocks: Sequence[LogBlock]) -> None: ...

    def _read(self, run_id: UUID) -> RunView:
        if run_id not in self.runs:
            raise RunGone(run_id)
        return self.runs[run_id]

    def _set(
        self, run_id: UUID, state: StateType, name: str = "", *, force: bool = False, **fields: Any
    ) -> None:
        with self._write():
            run = self._read(run_id)
            if not force and state in REFUSED[run.state_type]:
                raise StateRefused(run_id, state, run.state_type, "a rule of Prefect's")
            shown = name or NAMES.get(state, state.value.capitalize())
            self.runs[run_id] = replace(run, state_type=state, state_name=shown, **fields)

    def _set_all(self, run_ids: Sequence[UUID], state: StateType, *, force: bool) -> set[UUID]:
        """Each on its own, as Prefect does it: a fault may fall between two of them."""
        took: set[UUID] = set()
        for run_id in run_ids:
            with suppress(RunGone, StateRefused):
                self._set(run_id, state, force=force)
                took.add(run_id)
        return took

    @contextmanager
    def _write(self) -> Iterator[None]:
        fault = self.fault
        if fault is not None:
            fault.at -= 1
        failing = fault is not None and fault.at < 0
        if failing:
            self.fault = None
        if failing and fault is not None and not fault.after_effect:
            raise OrchestratorUnavailable("a fault before the effect")
        yield
        if failing:
            raise OrchestratorUnavailable("a fault after the effect")
