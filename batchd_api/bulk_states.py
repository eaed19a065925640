"""Runs that get the same state: one call to Prefect for many of them, and one note in the books."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from batchd_api.books import Books, Entry
from batchd_api.reconcile import End, Run, Shown, reconcile
from batchd_api.watch import Watch
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import End as RunEnd
from batchd_flows.orchestrator_records import OrchestratorRefused, StateType

log = logging.getLogger("batchd.mirror")

AT_ONCE = 4  # a claim waits for so many


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A job whose row is shown with these states alone."""

    entry: Entry
    runs: Sequence[Run]
    ends: Sequence[End]

    @property
    def wanted(self) -> dict[str, str]:
        """By run, the state that it has at last."""
        running: dict[str, str] = {action.run_id: Shown.RUNNING for action in self.runs}
        return running | {action.run_id: action.shown for action in self.ends}


class BulkStates:
    """Called by the mirror, between its other writes."""

    def __init__(
        self, books: Books, orchestrator: Orchestrator, watch: Watch, *, ended: Callable[[str], None]
    ) -> None:
        """`ended` is told of each run whose final state stands in Prefect."""
        self._books = books
        self._orchestrator = orchestrator
        self._watch = watch
        self._ended = ended

    async def show(self, job_ids: Sequence[int], between: Callable[[], Awaitable[object]]) -> list[int]:
        """Show what can be shown together; the rest is to be looked at one by one.

        `between` is awaited after each call, for what is more urgent. Raises OrchestratorUnavailable.
        """
        entries = await asyncio.to_thread(self._books.entries, job_ids)
        plans = [plan for plan in map(_plan_of, entries) if plan is not None]
        if len(plans) < 2:
            return list(job_ids)
        shown = set[int]()
        try:
            for start in range(0, len(plans), AT_ONCE):
                shown |= await self._show(plans[start : start + AT_ONCE], between)
        except OrchestratorRefused as error:  # one by one it shows whose it is
            log.debug("not together: %s", error)
        return [job_id for job_id in job_ids if job_id not in shown]

    async def _show(self, plans: Sequence[_Plan], between: Callable[[], Awaitable[object]]) -> set[int]:
        """The jobs that Prefect shows now, as they were read."""
        stands: dict[str, str] = {}  # by run
        levels: list[tuple[int, int]] = []
        try:
            running = [action.run_id for plan in plans for action in plan.runs]
            if running:
                stands |= await self._set(running, Shown.RUNNING, self._orchestrator.report_running_all)
                await between()
            refused = set(running) - stands.keys()
            for end, run_ids in _by_end(plans, refused).items():
                write = partial(self._orchestrator.report_end_all, end=end)
                ended = await self._set(run_ids, end.state_type, write)
                stands |= ended
                for run_id in ended:
                    self._ended(run_id)
                await between()
            levels = [
                (plan.entry.row.job_id, plan.entry.version)
                for plan in plans
                if plan.wanted.items() <= stands.items()
            ]
        finally:  # what stands there is noted, whatever became of the rest
            if stands:
                await asyncio.to_thread(self._books.note_all_shown, stands, levels)
        return {job_id for job_id, _ in levels}

    async def _set(
        self, run_ids: Sequence[str], shown: str, write: Callable[[Sequence[UUID]], Awaitable[set[UUID]]]
    ) -> dict[str, str]:
        """The runs that took the state, with it."""
        for run_id in run_ids:
            self._watch.own_write(run_id, shown)
        took = await write([UUID(run_id) for run_id in run_ids])
        return {str(run_id): shown for run_id in took}


def run_end(action: End) -> RunEnd:
    """As Prefect is told it."""
    return RunEnd(state_type=StateType(action.shown), message=action.text)


def _plan_of(entry: Entry) -> _Plan | None:
    actions = reconcile(entry.row, entry.runs)
    runs = [action for action in actions if isinstance(action, Run)]
    ends = [action for action in actions if isinstance(action, End)]
    is_plain = bool(actions) and len(runs) + len(ends) == len(actions)
    return _Plan(entry=entry, runs=runs, ends=ends) if is_plain else None


def _by_end(plans: Sequence[_Plan], refused: Collection[str]) -> dict[RunEnd, list[str]]:
    found = defaultdict[RunEnd, list[str]](list)
    for plan in plans:
        for action in plan.ends:
            if action.run_id not in refused:
                found[run_end(action)].append(action.run_id)
    return found
