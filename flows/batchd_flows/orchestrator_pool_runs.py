"""Ordinary flow runs in a work pool that is not ours: any worker that serves it gets them from Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State, StateType

from batchd_flows.names import slug
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import DeploymentGone, DeploymentSpec, PoolGone, RunGone
from batchd_flows.orchestrator_text import storable

FLOW_NAME = "batchd job"
ENTRYPOINT = "batchd_flows.pool_flow.run_attempt"


class PoolRunBoard:
    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._deployments: dict[str, UUID] = {}

    async def start(
        self, pool: str, parameters: Mapping[str, Any], *, name: str, key: str, tags: tuple[str, ...]
    ) -> UUID:
        """Of one key there is one run, however often it is asked for. Raises PoolGone, DeploymentGone."""
        deployment_id = await self._deployment(pool)
        try:
            async with self._orchestrator.writing(DeploymentGone(deployment_id)):
                made = await self._orchestrator.client.create_flow_run_from_deployment(
                    deployment_id,
                    parameters=dict(parameters),
                    name=storable(name),
                    idempotency_key=key,
                    tags=[storable(tag) for tag in tags],
                )
        except DeploymentGone:
            self._deployments.pop(pool, None)
            raise
        return made.id

    async def cancel(self, run_id: UUID) -> None:
        """Its worker ends it; one that nobody has taken is cancelled at once. Gone already is fine."""
        try:
            async with self._orchestrator.writing(RunGone(run_id)):
                await self._orchestrator.client.set_flow_run_state(
                    run_id, State(type=StateType.CANCELLING, name="Cancelling")
                )
        except RunGone:
            return

    async def _deployment(self, pool: str) -> UUID:
        if pool not in self._deployments:
            if await self._orchestrator.read_pool(pool) is None:
                raise PoolGone(pool)
            self._deployments[pool] = await self._orchestrator.ensure_deployment(
                DeploymentSpec(
                    flow_name=FLOW_NAME,
                    name=slug(pool),
                    pool_name=pool,
                    description="Jobs of the batchd queues that are tied to this work pool.",
                    entrypoint=ENTRYPOINT,
                )
            )
        return self._deployments[pool]
