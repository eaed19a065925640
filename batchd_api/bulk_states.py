"""Runs that get the same state: one call to Prefect for many of them, and one note in the books."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
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
    def run_ids(self) -> set[str]:
        return {action.run_id for action in self.runs} | {action.run_id for action in self.ends}


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
        left = set[str]()  # runs that did not take their state
        levels: list[tuple[int, int]] = []
        try:
            if running := [action.run_id for plan in plans for action in plan.runs]:
                self._expect(running, Shown.RUNNING)
                took = await self._orchestrator.report_running_all([UUID(run_id) for run_id in running])
                _sort(running, took, Shown.RUNNING, stands, left)
                await between()
            for end, run_ids in _by_end(plans, left).items():
                self._expect(run_ids, end.state_type)
                took = await self._orchestrator.report_end_all([UUID(run_id) for run_id in run_ids], end)
                _sort(run_ids, took, end.state_type, stands, left)
                for run_id in set(run_ids) - left:
                    self._ended(run_id)
                await between()
            levels = [(p.entry.row.job_id, p.entry.version) for p in plans if not p.run_ids & left]
        finally:  # what stands there is noted, whatever became of the rest
            if stands:
                await asyncio.to_thread(self._books.note_all_shown, stands, levels)
        return {job_id for job_id, _ in levels}

    def _expect(self, run_ids: Sequence[str], shown: str) -> None:
        for run_id in run_ids:
            self._watch.own_write(run_id, shown)


def _plan_of(entry: Entry) -> _Plan | None:
    actions = reconcile(entry.row, entry.runs)
    runs = [action for action in actions if isinstance(action, Run)]
    ends = [action for action in actions if isinstance(action, End)]
    is_plain = bool(actions) and len(runs) + len(ends) == len(actions)
    return _Plan(entry=entry, runs=runs, ends=ends) if is_plain else None


def _by_end(plans: Sequence[_Plan], without: set[str]) -> dict[RunEnd, list[str]]:
    found = defaultdict[RunEnd, list[str]](list)
    for plan in plans:
        for action in plan.ends:
            if action.run_id not in without:
                found[RunEnd(state_type=StateType(action.shown), message=action.text)].append(action.run_id)
    return found


def _sort(
    run_ids: Sequence[str], took: set[UUID], state: str, stands: dict[str, str], left: set[str]
) -> None:
    there = {str(run_id) for run_id in took}
    stands.update(dict.fromkeys(there, state))
    left.update(set(run_ids) - there)
