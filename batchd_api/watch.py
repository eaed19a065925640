"""The mirror's eyes: sees what people do in Prefect and has it carried out or put back.

Its steps run between the mirror's own writes, so that the books are true whenever it compares. State changes
come by the event stream; deletions and renames emit no event and are found by looking at all live runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from batchd_api.books import Books, Entry
from batchd_api.forms import Forms
from batchd_api.hands import Hands
from batchd_api.pools import Pools
from batchd_api.reconcile import RunView
from batchd_api.respond import Answer, Seen, respond, sight_of
from batchd_flows.names import pool_name
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_events import PoolsChanged, RunChanged, happenings
from batchd_flows.orchestrator_records import Gone, OrchestratorUnavailable, RunGone, StateType
from batchd_flows.orchestrator_records import RunView as PrefectRun

log = logging.getLogger("batchd.prefect")

LOOK_SECONDS = 10.0
QUIET_SECONDS = 30.0  # where nothing lives in Prefect, and nothing should
AGAIN_SECONDS = 2.0  # before the event stream is asked for again
OWN_WRITES = 2000
CANCELS = (StateType.CANCELLING, StateType.CANCELLED)
WRITTEN_OVER = (StateType.PENDING, StateType.RUNNING)


class Watch:
    """`notice` runs beside the mirror; everything else is called by it."""

    def __init__(
        self,
        books: Books,
        hands: Hands,
        orchestrator: Orchestrator,
        forms: Forms,
        pools: Pools,
        *,
        wake: Callable[[], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._books = books
        self._hands = hands
        self._orchestrator = orchestrator
        self._forms = forms
        self._pools = pools
        self._wake = wake
        self._clock = clock
        self._noticed: OrderedDict[UUID, RunChanged] = OrderedDict()
        self._own: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._look_at = 0.0

    def own_write(self, run_id: str, shown: str) -> None:
        """We are about to write this: its event is no news."""
        self._own[run_id, shown] = None
        while len(self._own) > OWN_WRITES:
            self._own.popitem(last=False)
        self._look_at = min(self._look_at, time.monotonic() + LOOK_SECONDS)

    def look_again(self) -> None:
        """Something may have been missed: look at everything at the next step."""
        self._look_at = 0.0
        self._pools.look_again()

    def stand_by(self) -> None:
        """Another dispatcher sees to it."""
        self._noticed.clear()

    async def notice(self) -> None:
        """Follow the event stream until cancelled. Whenever it was lost, everything is looked at."""
        while True:
            try:
                async for happening in happenings(self._orchestrator.api_url, self._orchestrator.auth_string):
                    self._note(happening)
            except OrchestratorUnavailable as error:
                log.debug("no event stream: %s", error)
                self.look_again()
            except Exception:
                log.exception("the event stream stumbled; it is asked for again")
            await asyncio.sleep(AGAIN_SECONDS)

    def _note(self, happening: RunChanged | PoolsChanged) -> None:
        if isinstance(happening, PoolsChanged):
            self._pools.look_again()
        elif not self._is_own(happening):
            if happening.run_id not in self._noticed or happening.state_type in CANCELS:
                self._noticed[happening.run_id] = happening
        else:
            return
        self._wake()

    def _is_own(self, happening: RunChanged) -> bool:
        for shown in (happening.state_name, happening.state_type):
            if (str(happening.run_id), shown) in self._own:
                del self._own[str(happening.run_id), shown]
                return True
        return False

    async def step(self) -> bool:
        """What was noticed, and now and then everything. True: rows have changed."""
        changed = False
        while self._noticed:
            run_id, happening = self._noticed.popitem(last=False)
            is_cancel = happening.state_type in CANCELS
            changed = await self._look_at_run(run_id, is_cancel=is_cancel) or changed
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            changed = await self._look_at_all() or changed
        return changed

    async def _look_at_run(self, run_id: UUID, *, is_cancel: bool = False) -> bool:
        """`is_cancel`: a person cancelled it, though one of our own writes may stand over that by now."""
        entry = await asyncio.to_thread(self._books.entry_of_run, str(run_id))
        seen = await self._orchestrator.read_run(run_id)
        if is_cancel and seen is not None and seen.state_type in WRITTEN_OVER:
            seen = replace(seen, state_type=StateType.CANCELLING, state_name="Cancelling")
        if entry is None:
            return seen is not None and await self._forms.take(seen)
        return await self._compare(entry, str(run_id), seen)

    async def _look_at_all(self) -> bool:
        changed = False
        live = {str(run.id): run for run in await self._orchestrator.live_runs()}
        expected = await asyncio.to_thread(self._books.live_runs)
        going = await asyncio.to_thread(self._books.going)
        if not live and not expected:
            self._look_at = time.monotonic() + QUIET_SECONDS
        for run_id, known in expected.items():
            seen = live.get(run_id)
            if seen is None or sight_of(known.run, _seen(known.run, seen)) is not None:
                changed = await self._look_at_run(UUID(run_id)) or changed
            elif seen.name != known.name:
                with suppress(RunGone):
                    await self._orchestrator.rename(seen.id, known.name)
        for run_id in set(live) - set(expected) - going:
            changed = await self._look_at_run(UUID(run_id)) or changed
        return changed

    async def _compare(self, entry: Entry, run_id: str, seen: PrefectRun | None) -> bool:
        answer = self._answer(entry, run_id, seen)
        await self._carry_out(answer, entry.row.job_id, run_id)
        return answer is not Answer.NOTHING

    def _answer(self, entry: Entry, run_id: str, seen: PrefectRun | None) -> Answer:
        run = next(run for run in entry.runs if run.id == run_id)
        return respond(entry.row, run, None if seen is None else _seen(run, seen))

    async def _carry_out(self, answer: Answer, job_id: int, run_id: str) -> None:
        hands, now = self._hands, self._clock()
        if answer is Answer.PUT_BACK:
            await asyncio.to_thread(hands.put_back, job_id, run_id)
        elif answer is Answer.FORGET:
            await asyncio.to_thread(hands.forget, job_id, run_id)
        elif answer is Answer.REMAKE:
            with suppress(Gone):
                await self._orchestrator.delete_run(UUID(run_id))
            await asyncio.to_thread(hands.forget, job_id, run_id)
        elif answer is Answer.FAIL:
            await asyncio.to_thread(hands.cancel_waiting, job_id, run_id, now)
        elif answer is Answer.CANCEL:
            await asyncio.to_thread(hands.cancel_running, job_id, run_id, now)
        elif answer is Answer.POSTPONE:
            await asyncio.to_thread(hands.postpone, job_id, run_id)
        elif answer is Answer.RELEASE:
            await asyncio.to_thread(hands.release, job_id, run_id)
        elif answer is Answer.RUN_AGAIN:
            await asyncio.to_thread(hands.run_again, job_id, run_id)


def _seen(run: RunView, seen: PrefectRun) -> Seen:
    return Seen(
        state_type=str(seen.state_type),
        state_name=seen.state_name,
        in_pool=seen.pool_name == pool_name(run.queue_name),
        keeps=seen.state_type is not StateType.PAUSED
        or (seen.pause_reschedule and seen.pause_timeout is None),
    )
