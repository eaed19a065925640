"""Attempts that a worker of another work pool runs: given to Prefect, and watched until they have ended.

The worker reports to the manager. So an attempt goes on while its dispatcher is away, and one that comes back
finds the same flow run by its key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from uuid import UUID

from batchd_api.attempt_orders import AttemptOrders
from batchd_api.recorder import Attempt, Recorder
from batchd_api.stored import stored
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_pool_runs import PoolRunBoard
from batchd_flows.orchestrator_records import Gone, OrchestratorUnavailable
from batchd_flows.run import Outcome

log = logging.getLogger("batchd.dispatcher")

LOOK_SECONDS = 1.0
ASK_SECONDS = 5.0  # how the run stands in Prefect; its report comes without asking
LAST_WORD_SECONDS = 5.0  # that a run which has ended in Prefect may still be about to say


class PoolRuns:
    """Runs in the event loop."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        orders: AttemptOrders,
        recorder: Recorder,
        *,
        installation_id: str,
        manager_url: str,
    ) -> None:
        self._orchestrator = orchestrator
        self._board = PoolRunBoard(orchestrator)
        self._orders = orders
        self._recorder = recorder
        self._installation_id = installation_id
        self._manager_url = manager_url

    async def has_begun(self, attempt: Attempt) -> bool:
        return await stored(self._orders.read, attempt.id) is not None

    async def prepare(self, attempt: Attempt) -> None:
        """Raises CannotLaunch."""
        await stored(self._orders.write, attempt)

    async def follow(self, attempt: Attempt) -> Outcome | None:
        """None: it was reported. Raises OrchestratorRefused, PoolGone."""
        run_id = await self._given(attempt)
        is_told, asked = False, 0.0
        while (fresh := await stored(self._recorder.fresh, attempt.id)) is not None:
            if fresh.cancel_requested and not is_told:
                is_told = await self._cancelled(run_id)
            if asked >= ASK_SECONDS:
                asked = 0.0
                if (ended := await self._ended_as(run_id)) is not None:
                    return await self._without_report(attempt, ended)
            await asyncio.sleep(LOOK_SECONDS)
            asked += LOOK_SECONDS
        return None

    async def _given(self, attempt: Attempt) -> UUID:
        pool = attempt.work_pool or ""
        while True:
            try:
                return await self._board.start(
                    pool,
                    self._parameters(attempt),
                    name=f"{pool} #{attempt.job_id}",
                    key=f"batchd-pool:{self._installation_id}:{attempt.id}",
                    tags=(f"queue:{attempt.queue_name}", f"job:{attempt.job_id}"),
                )
            except OrchestratorUnavailable as error:
                log.debug("job %d is not given to the work pool %s yet: %s", attempt.job_id, pool, error)
                await asyncio.sleep(ASK_SECONDS)

    def _parameters(self, attempt: Attempt) -> Mapping[str, object]:
        return {"manager_url": self._manager_url, "attempt": attempt.id, "token": attempt.token}

    async def _cancelled(self, run_id: UUID) -> bool:
        try:
            await self._board.cancel(run_id)
        except OrchestratorUnavailable:
            return False
        return True

    async def _ended_as(self, run_id: UUID) -> str | None:
        try:
            run = await self._orchestrator.read_run(run_id)
        except (OrchestratorUnavailable, Gone):
            return None
        if run is None:
            return "was deleted in Prefect"
        return f"ended as {run.state_type}" if run.state_type.is_final else None

    async def _without_report(self, attempt: Attempt, ended: str) -> Outcome | None:
        """Its report may be on its way."""
        await asyncio.sleep(LAST_WORD_SECONDS)
        if await stored(self._recorder.fresh, attempt.id) is None:
            return None
        why = f"outcome unknown: its flow run in the work pool {attempt.work_pool} {ended}, without a report"
        return Outcome(exit_code=None, reason=why)
