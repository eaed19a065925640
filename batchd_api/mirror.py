"""The mirror: makes Prefect's flow runs match our rows. The only caller of Prefect in the daemon.

Level-triggered: what it writes follows from the rows and its books alone, so it may be stopped anywhere and
go on later. One write at a time, claims first, then ends, then the rest, then logs. While Prefect is away it
waits and says so; nothing else waits for it but claims.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from batchd_api.books import Books, Entry
from batchd_api.bulk_states import BulkStates, run_end
from batchd_api.errors import DatabaseFull, DatabaseUnavailable
from batchd_api.pools import Pools
from batchd_api.prefect_reach import PrefectReach
from batchd_api.prefect_words import PrefectWords
from batchd_api.reconcile import Action, Create, End, Hold, Remove, Run, RunView, Shown, Wait, reconcile
from batchd_api.recorder import Attempt
from batchd_api.run_artifacts import RunArtifacts
from batchd_api.run_logs import RunLogs
from batchd_api.watch import Watch
from batchd_api.window_mirror import WindowMirror
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import (
    ClaimRefused,
    DeploymentGone,
    Gone,
    OrchestratorRefused,
    OrchestratorUnavailable,
    PoolGone,
    RunGone,
    StateRefused,
    StateType,
    Waiting,
)
from batchd_flows.versions import BrokenVersions

log = logging.getLogger("batchd.mirror")

DATABASE_TROUBLE = (DatabaseUnavailable, DatabaseFull)

BATCH = 20  # rows looked up at once; small, so that a new end is not behind a long list
IDLE_SECONDS = 5.0  # a look without being woken
LONGEST_PAUSE_SECONDS = 5.0
STUCK_SECONDS = 60.0
WINDOWS_SECONDS = 10.0
WAITING_SECONDS = 1.0
MOST_ROUNDS = 4  # a run made anew, then its states


class CancelledInPrefect(Exception):
    """A person cancelled the run before its command started."""


@dataclass
class _Claim:
    attempt: Attempt
    answer: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Mirror:
    """Runs in the event loop; the books are read in threads."""

    def __init__(
        self,
        books: Books,
        orchestrator: Orchestrator,
        words: PrefectWords,
        pools: Pools,
        watch: Watch,
        windows: WindowMirror | None = None,
        *,
        log_limit_bytes: int,
        artifacts: RunArtifacts | None = None,
        changed: Callable[[], None] = lambda: None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """`leads`: whether this dispatcher is the one that plans; else only what it runs itself is shown."""
        self._books = books
        self._orchestrator = orchestrator
        self._words = words
        self._pools = pools
        self._watch = watch
        self._windows = windows
        self._windows_at = 0.0
        self._waiting_at = 0.0
        self._logs = RunLogs(books, orchestrator, limit_bytes=log_limit_bytes)
        self._artifacts = artifacts
        self._bulk = BulkStates(books, orchestrator, watch, ended=self._ended)
        self._changed = changed
        self._leads = leads
        self._has_led = False
        self.reach = PrefectReach(orchestrator.healthy)
        self._wake = asyncio.Event()
        self._claims: deque[_Claim] = deque()
        self._level_at: float | None = time.monotonic()  # None: there is nothing to show
        self._stuck: dict[int, float] = {}  # job → not before; Prefect refused something about it

    def lag_seconds(self) -> float:
        """Since when Prefect lacks something that it should show."""
        return 0.0 if self._level_at is None else time.monotonic() - self._level_at

    def wake(self) -> None:
        """Something changed. Call from the event loop."""
        self._wake.set()

    def output_added(self, attempt_id: int) -> None:
        """An attempt has output that its log lacks."""
        self._logs.added(attempt_id)
        self._wake.set()

    async def claim(self, attempt: Attempt) -> None:
        """Take the attempt's run: Pending, exclusively. Waits for Prefect as long as it is away.

        Raises CancelledInPrefect.
        """
        claim = _Claim(attempt=attempt)
        self._claims.append(claim)
        self._wake.set()
        try:
            await claim.answer
        finally:
            with suppress(ValueError):
                self._claims.remove(claim)

    async def run(self) -> None:
        """Until cancelled."""
        pause = 0.2
        await self._logs.start()
        while True:
            try:
                busy = await self.step()
                pause = 0.2
            except (OrchestratorUnavailable, OrchestratorRefused, BrokenVersions) as error:
                self._say(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            except DATABASE_TROUBLE:  # the database says it
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            except Exception:
                log.exception("the mirror stumbled; it goes on")
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)
                continue
            if not busy:
                self._level_at = None
                await self._rest()
                self._level_at = time.monotonic()

    async def _rest(self) -> None:
        now = time.monotonic()
        log_due = self._logs.due
        due = [*self._stuck.values(), IDLE_SECONDS + now, *([] if log_due is None else [log_due])]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.01, min(due) - now)):
                await self._wake.wait()
        self._wake.clear()

    def _say(self, down: str | None) -> None:
        if self.reach.note(down):
            log.warning("%s", down) if down else log.info("Prefect answers")
            self._changed()

    async def step(self) -> bool:
        """One round: claims, and at most BATCH rows. False: nothing was due. `run` makes them."""
        if self.reach.down:
            await self._orchestrator.probe()
        if not self._leads():
            return await self._follow()
        if not self._has_led:
            await self._begin_to_lead()
        changed = await self._pools.step()
        self._say(None)
        worked = await self._serve_claims()
        if await self._watch.step() or changed:
            self._changed()
            worked = True
        await self._show_windows()
        now = time.monotonic()
        self._stuck = {job: until for job, until in self._stuck.items() if until > now}
        if due := await self._due(now):
            worked = True
            for job_id in await self._bulk.show(due, self._serve_claims):
                await self._show_patiently(job_id)
                await self._serve_claims()
        for run_id in await asyncio.to_thread(self._books.gone, BATCH):
            await self._remove(run_id)
            await self._serve_claims()
            worked = True
        worked = await self._logs.step() or worked
        if self._artifacts is not None:
            worked = await self._artifacts.step(is_idle=not worked) or worked
        return worked

    async def _due(self, now: float) -> list[int]:
        """While jobs start and end all the time, what waits is shown now and then: most of it is soon old."""
        waiting_too = now >= self._waiting_at
        if waiting_too:
            self._waiting_at = now + WAITING_SECONDS
        return await asyncio.to_thread(
            self._books.due, BATCH, frozenset(self._stuck), urgent_first=not waiting_too
        )

    async def _follow(self) -> bool:
        """Another dispatcher's mirror shows the rows; claims and output are of what runs here."""
        self._has_led = False
        self._watch.stand_by()
        await self.reach.ask()
        self._say(None)
        worked = await self._serve_claims()
        return await self._logs.step() or worked

    async def _begin_to_lead(self) -> None:
        """Whoever led before may have left anything half done: all is looked at."""
        await self._pools.begin()
        self._watch.look_again()
        if self._artifacts is not None:
            await self._artifacts.start()
        self._has_led = True

    async def _show_windows(self) -> None:
        """Now and then: the queues' windows in Prefect, whose edges wake the planner."""
        if self._windows is None or time.monotonic() < self._windows_at:
            return
        self._windows_at = time.monotonic() + WINDOWS_SECONDS
        try:
            if await self._windows.step():
                self._changed()
        except OrchestratorRefused as error:
            log.error("the queues' windows: %s", error)  # noqa: TRY400  its sentence says it whole

    # Claims

    async def _serve_claims(self) -> bool:
        worked = False
        while self._claims:
            claim = self._claims[0]
            try:
                await self._claim(claim.attempt)
                answer: Exception | None = None
            except (OrchestratorUnavailable, BrokenVersions, *DATABASE_TROUBLE):
                raise
            except Exception as error:  # whose it is finds out; the others' claims go on
                if _refuses_us(error):
                    raise
                answer = error
            with suppress(ValueError):  # whoever waited may have gone
                self._claims.remove(claim)
            if not claim.answer.done():
                claim.answer.set_result(None) if answer is None else claim.answer.set_exception(answer)
            worked = True
        return worked

    async def _claim(self, attempt: Attempt) -> None:
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

    # Rows as runs

    async def _show_patiently(self, job_id: int) -> None:
        try:
            if not await self._show(job_id):
                self._stuck[job_id] = time.monotonic() + 1
        except (OrchestratorUnavailable, *DATABASE_TROUBLE):
            raise
        except (OrchestratorRefused, StateRefused) as error:
            if _refuses_us(error):
                raise
            log.error("job %d: %s", job_id, error)  # noqa: TRY400  it is said whole in its sentence
            self._stuck[job_id] = time.monotonic() + STUCK_SECONDS
        except Exception:
            log.exception("job %d cannot be shown in Prefect; the others go on", job_id)
            self._stuck[job_id] = time.monotonic() + STUCK_SECONDS

    async def _show(self, job_id: int) -> bool:
        """False: something in Prefect was gone; the row stays due and is looked at afresh."""
        for _ in range(MOST_ROUNDS):
            entry = await asyncio.to_thread(self._books.entry, job_id)
            if entry is None:
                return True
            actions = reconcile(entry.row, entry.runs)
            creates = any(isinstance(action, Create) for action in actions)  # what is new may want more
            level = None if creates else (job_id, entry.version)
            noted = False
            for action in actions:
                last = level if action is actions[-1] else None
                if not await self._carry_out(entry, action, last):
                    return False
                noted = last is not None and not isinstance(action, Remove)
            if level is not None:
                if not noted:
                    await asyncio.to_thread(self._books.note_mirrored, *level)
                return True
        return False

    async def _carry_out(self, entry: Entry, action: Action, level: tuple[int, int] | None) -> bool:
        """`level` is noted with what the action has shown, in one transaction."""
        if isinstance(action, Create):
            return await self._create(entry, action) is not None
        if isinstance(action, Remove):
            await self._remove(action.run_id)
            return True
        try:
            shown = await self._write_state(UUID(action.run_id), action)
        except RunGone:
            has_ended = isinstance(action, End)  # then it needs no new run
            await asyncio.to_thread(self._books.note_removed, action.run_id, level if has_ended else None)
            return has_ended
        await asyncio.to_thread(self._books.note_shown, action.run_id, shown, level)
        if isinstance(action, End):
            self._ended(action.run_id)
        return True

    def _ended(self, run_id: str) -> None:
        if self._artifacts is not None:
            self._artifacts.ended(run_id)

    async def _write_state(self, run_id: UUID, action: Wait | Hold | Run | End) -> str:
        self._watch.own_write(str(run_id), _shown_by(action))
        if isinstance(action, Wait):
            await self._orchestrator.show_waiting(
                run_id, Waiting(code_name=action.state_name, message=action.text)
            )
            return action.state_name
        if isinstance(action, Hold):
            await self._orchestrator.hold(run_id, "postponed: held until it is set to New")
            return Shown.PAUSED
        if isinstance(action, Run):
            await self._forcefully(partial(self._orchestrator.report_running, run_id))
            return Shown.RUNNING
        await self._forcefully(partial(self._orchestrator.report_end, run_id, run_end(action)))
        return action.shown

    async def _forcefully(self, write: Callable[..., Awaitable[None]]) -> None:
        """What is true is written, whatever state stands there by hand."""
        try:
            await write()
        except StateRefused:
            await write(force=True)

    async def _create(self, entry: Entry, action: Create) -> RunView | None:
        """None: the deployment or the pool was gone; both are made again at the next look."""
        row = entry.row
        try:
            deployment_id = await self._pools.deployment(entry.type_name, row.queue_name)
            spec = self._words.run(entry, action, deployment_id)
            run_id = await self._orchestrator.create_run(spec)
        except (DeploymentGone, PoolGone):
            self._pools.forget(row.queue_name)
            return None
        run = RunView(
            id=str(run_id),
            attempt=action.attempt,
            number=action.number,
            queue_name=row.queue_name,
            shown=spec.waiting.code_name,
        )
        self._watch.own_write(run.id, run.shown)
        await asyncio.to_thread(self._books.note_created, run, row.job_id, spec.name)
        return run

    async def _remove(self, run_id: str) -> None:
        if self._artifacts is not None:
            await self._artifacts.remove(run_id)
        with suppress(Gone):
            await self._orchestrator.delete_run(UUID(run_id))
        await asyncio.to_thread(self._books.note_removed, run_id)


def _shown_by(action: Wait | Hold | Run | End) -> str:
    if isinstance(action, Wait):
        return action.state_name
    if isinstance(action, Hold):
        return Shown.PAUSED
    return Shown.RUNNING if isinstance(action, Run) else action.shown


def _refuses_us(error: Exception) -> bool:
    """Not what is asked for, but who asks: the same for every job, until somebody mends it."""
    return isinstance(error, OrchestratorRefused) and error.status in (401, 403)
