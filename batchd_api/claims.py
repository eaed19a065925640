"""Runs taken for attempts that are about to start: Pending, exclusively, before their command does."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from batchd_api.books import Books, Entry
from batchd_api.errors import DATABASE_TROUBLE
from batchd_api.reconcile import Create, RunView, Shown
from batchd_api.recorder import Attempt
from batchd_api.watch import Watch
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import (
    ClaimRefused,
    OrchestratorRefused,
    OrchestratorUnavailable,
    RunGone,
    StateType,
)
from batchd_flows.versions import BrokenVersions

log = logging.getLogger("batchd.mirror")


class CancelledInPrefect(Exception):
    """A person cancelled the run before its command started."""


@dataclass(eq=False)
class Claim:
    attempt: Attempt
    answer: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Claims:
    """Runs in the event loop. `create` makes a run; None where its pool was gone."""

    def __init__(
        self,
        books: Books,
        orchestrator: Orchestrator,
        watch: Watch,
        create: Callable[[Entry, Create], Awaitable[RunView | None]],
    ) -> None:
        self._books = books
        self._orchestrator = orchestrator
        self._watch = watch
        self._create = create
        self._asked: deque[Claim] = deque()

    def ask(self, attempt: Attempt) -> Claim:
        claim = Claim(attempt=attempt)
        self._asked.append(claim)
        return claim

    def drop(self, claim: Claim) -> None:
        """Nobody waits for it (any more)."""
        with suppress(ValueError):
            self._asked.remove(claim)

    def next(self, busy: Collection[int]) -> Claim | None:
        """The one that has waited longest, but none of these jobs."""
        return next((claim for claim in self._asked if claim.attempt.job_id not in busy), None)

    async def serve(self, claim: Claim) -> None:
        """It stays asked for while Prefect or the database is away."""
        try:
            await self._take(claim.attempt)
            answer: Exception | None = None
        except (OrchestratorUnavailable, BrokenVersions, *DATABASE_TROUBLE):
            raise
        except Exception as error:  # whose it is finds out; the others' claims go on
            if refuses_us(error):
                raise
            answer = error
        self.drop(claim)
        if not claim.answer.done():
            claim.answer.set_result(None) if answer is None else claim.answer.set_exception(answer)

    async def _take(self, attempt: Attempt) -> None:
        for _ in range(3):
            entry = await asyncio.to_thread(self._books.entry, attempt.job_id)
            if entry is None or not entry.row.is_alive(attempt.number):
                return  # deleted or ended meanwhile: whoever asked looks again before it starts
            run = await self._run_of(entry, attempt.number)
            if run is None:
                continue
            try:
                self._watch.own_write(run.id, Shown.PENDING)
                await self._orchestrator.claim(UUID(run.id))
            except RunGone:
                await asyncio.to_thread(self._books.note_removed, run.id)
                continue
            except ClaimRefused as refusal:
                # The row is ours by compare-and-set: whatever else stands there by hand is put right later.
                if refusal.state in (StateType.CANCELLED, StateType.CANCELLING):
                    raise CancelledInPrefect from refusal
                log.warning("claimed against Prefect's word: %s", refusal)
            await asyncio.to_thread(self._books.note_shown, run.id, Shown.PENDING)
            return
        log.warning("job %d starts without its flow run, which was removed again and again", attempt.job_id)

    async def _run_of(self, entry: Entry, attempt: int) -> RunView | None:
        runs = [run for run in entry.runs if run.attempt == attempt and not run.is_final]
        if runs:
            return runs[-1]
        number = max((run.number for run in entry.runs if run.attempt == attempt), default=0) + 1
        return await self._create(entry, Create(attempt=attempt, number=number))


def refuses_us(error: Exception) -> bool:
    """Not what is asked for, but who asks: the same for every job, until somebody mends it."""
    return isinstance(error, OrchestratorRefused) and error.status in (401, 403)
