"""One dispatcher plans for all: it holds the lease, looks at what is written, and writes its plan down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchd_api.dispatch_counts import DispatchCounts
from batchd_api.planner import JobView, Plan, plan
from batchd_api.planner_lease import PlannerLease
from batchd_api.statuses import Reason, ReasonCode
from batchd_api.stored import stored
from batchd_api.world import Seen, WorldStore
from batchd_api.world_jobs import HOST_CODES

log = logging.getLogger("batchd.planner")

ALONE_SECONDS = 1.0  # nobody wakes us for what other processes write
WITHOUT_LEASE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a look has led to. `again`: rows have changed meanwhile, or more may start: look at once."""

    has_taken: bool = False
    has_called: bool = False
    again: bool = False
    pause_seconds: float


class Planning:
    """Runs in the event loop; the database is read and written in threads."""

    def __init__(
        self,
        world: WorldStore,
        lease: PlannerLease,
        *,
        counts: DispatchCounts,
        prefect_down: Callable[[], str | None],
        poll_timeout_seconds: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._world = world
        self._lease = lease
        self._counts = counts
        self._prefect_down = prefect_down
        self._poll_timeout_seconds = poll_timeout_seconds
        self._clock = clock
        self._led = False

    @property
    def leads(self) -> bool:
        return self._lease.holds

    async def seek_lead(self, *, gives_way: bool = False) -> bool:
        """Renew the lease, or try to get it; or leave it to another. True: it has just become ours."""
        if gives_way:
            await stored(self._lease.give_up)
        leads = not gives_way and await stored(self._lease.seek)
        gained, lost = leads and not self._led, self._led and not leads
        if gained or lost:
            log.info("plans from now on" if gained else "another dispatcher plans from now on")
        self._led = leads
        return gained

    async def give_up(self) -> None:
        await stored(self._lease.give_up)

    async def turn(self) -> Turn:
        """Plan once, if it is ours to."""
        if not self._lease.holds:
            return Turn(pause_seconds=WITHOUT_LEASE_SECONDS)
        now, began = self._clock(), time.perf_counter()
        seen = await stored(self._world.look, now, prefect_down=self._prefect_down())
        decision = plan(seen.world)
        self._counts.planned(time.perf_counter() - began)
        taken = await stored(self._world.apply, seen, decision)
        return Turn(
            has_taken=bool(taken),
            has_called=bool(decision.called),
            again=(len(taken) < len(decision.starts) or reaches_behind(seen, decision)) and self._lease.holds,
            pause_seconds=self._pause_seconds(seen, decision, now),
        )

    def _pause_seconds(self, seen: Seen, decision: Plan, now: datetime) -> float:
        """Until time alone changes the answer."""
        moment = decision.look_again or now + timedelta(seconds=self._poll_timeout_seconds)
        seconds = min((moment - now).total_seconds(), self._poll_timeout_seconds)
        if len(seen.world.dispatchers) > 1:
            seconds = min(seconds, ALONE_SECONDS)
        return max(0.01, seconds)


def reaches_behind(seen: Seen, decision: Plan) -> bool:
    """Whether jobs that were out of sight may start now: nothing that was in sight stops them any more.

    Only where this plan has brought that about; else a next look would see the same again.
    """
    settled = {start.job_id for start in decision.starts} | (decision.called - seen.called)
    for queue_name in seen.cut:
        in_sight = [job for job in seen.world.jobs if job.queue_name == queue_name and not job.called]
        lets_pass = {job.id for job in in_sight if _lets_pass(job, decision.reasons.get(job.id))}
        if all(job.id in settled or job.id in lets_pass for job in in_sight):
            fresh = {job_id for job_id in lets_pass if seen.reasons[job_id] != decision.reasons[job_id]}
            if fresh or any(job.id in settled for job in in_sight):
                return True
    return False


def _lets_pass(job: JobView, reason: Reason | None) -> bool:
    if reason is None:
        return False
    return reason.code in HOST_CODES or reason.code is ReasonCode.NOT_BEFORE or job.refusal is not None
