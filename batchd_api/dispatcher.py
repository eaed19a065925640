"""The dispatcher: plans, and performs the attempts that the plans name it for.

Everything is level-triggered: it looks at what is written down and does what is missing, so that a restart is
an ordinary look. Stopping it leaves the commands to their supervisors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from batchd_api.db.session import Database
from batchd_api.dispatch_counts import DispatchCounts
from batchd_api.drain import enlist
from batchd_api.heartbeat import Heartbeat
from batchd_api.host_side import HostNotReady, HostSide
from batchd_api.launches import CannotLaunch, Launches, Look, NoLongerPermitted
from batchd_api.mirror import CancelledInPrefect, Mirror
from batchd_api.planner_lease import SEEK_SECONDS
from batchd_api.planning import Planning
from batchd_api.pool_runs import PoolRuns
from batchd_api.progress_notes import WRITE_SECONDS, AttemptProgress, ProgressNotes
from batchd_api.recorder import Attempt, OldToken, Recorder
from batchd_api.statuses import AttemptState, Reason, ReasonCode
from batchd_api.stored import stored
from batchd_flows.errors import FlowsError
from batchd_flows.job_types import JobTypes, OnFail
from batchd_flows.orchestrator_records import OrchestratorRefused, PoolGone
from batchd_flows.patience import LOST_AFTER_SECONDS, MachineLost, Patience, ask
from batchd_flows.run import NOT_STARTED, Chunk, Outcome, Position, Run
from batchd_flows.supervisor import Launch, Machine, RunState, SupervisorError
from batchd_infra.hosts import HostNotFound

log = logging.getLogger("batchd.dispatcher")

BEAT_SECONDS = 3.0
LOOK_SECONDS = 1.0  # for what another process writes: cancellations, enqueues of a separate manager
GIVE_UP_SECONDS = 2.0  # a database that is away does not hold up the end
AGAIN_SECONDS = 5.0  # after an attempt's care stumbled
REFUSED_SECONDS = 60.0  # before a job whose run Prefect has refused is tried again


class Dispatcher:
    """One per process. `name` is the same after a restart on the same machine and state folder."""

    def __init__(
        self,
        name: str,
        *,
        database: Database,
        planning: Planning,
        recorder: Recorder,
        launches: Launches,
        mirror: Mirror,
        hosts: HostSide,
        heartbeat: Heartbeat,
        counts: DispatchCounts,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pool_runs: PoolRuns,
        progress: ProgressNotes | None = None,
    ) -> None:
        self.name = name
        self._database = database
        self._planning = planning
        self._recorder = recorder
        self._launches = launches
        self._mirror = mirror
        self._hosts = hosts
        self._heartbeat = heartbeat
        self._pool_runs = pool_runs
        self._clock = clock
        self.counts = counts
        self._progress = progress or ProgressNotes(database, JobTypes())
        self._wake = asyncio.Event()
        self._cares: dict[int, asyncio.Task[None]] = {}
        self._claiming: set[int] = set()
        self._draining = self._gives_way = False
        self._cancelled: set[int] = set()
        self._cancels: dict[int, asyncio.Task[None]] = {}
        self._missed: dict[int, float] = {}  # since when the file of an attempt's host is
        self._leftovers: set[int] | None = None  # attempts that may have started before this process did
        self._graces: dict[
            int, float
        ] = {}  # kept, because a deleted job's row does not name its type any more

    @property
    def leads(self) -> bool:
        """It is the one that plans, and sees to what is there once for all dispatchers."""
        return self._planning.leads

    def wake(self) -> None:
        """Something changed that may let a job start or end. Call from the event loop."""
        self._wake.set()
        self._mirror.wake()

    def wake_mirror(self) -> None:
        """Something in Prefect changed."""
        self._mirror.wake()

    async def run(self) -> None:
        """Until cancelled; then it lets go of its attempts, whose commands go on."""
        await stored(enlist, self._database, self.name)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._for_ever(self._beat, BEAT_SECONDS))
                group.create_task(self.counts.store_for_ever(self._database, self._mirror.lag_seconds))
                group.create_task(self._for_ever(self._seek_lead, SEEK_SECONDS))
                group.create_task(self._for_ever(self._look, 0))
                group.create_task(self._for_ever(self._care, LOOK_SECONDS))
        finally:
            cares = [*self._cares.values(), *self._cancels.values()]
            for care in cares:
                care.cancel()
            await asyncio.gather(*cares, return_exceptions=True)
            await asyncio.to_thread(self._hosts.close)
            with suppress(TimeoutError):
                async with asyncio.timeout(GIVE_UP_SECONDS):
                    await self._planning.give_up()

    async def _for_ever(self, turn: Callable[[], Coroutine[Any, Any, None]], pause_seconds: float) -> None:
        """An exception ends a turn, never the loop."""
        while True:
            try:
                await turn()
            except Exception:
                log.exception("the dispatcher stumbled; it goes on")
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def _beat(self) -> None:
        said = await stored(self._heartbeat.beat)
        if said.draining != self._draining:
            self._draining = said.draining
            log.info("draining: no new jobs are taken" if said.draining else "new jobs are taken again")
            self.wake()
        self._gives_way = said.gives_way
        if said.draining or said.gives_way:
            await self._give_claims_back()

    async def _give_claims_back(self) -> None:
        """What waits for Prefect's word has not started; who drains, or does not reach it, need not wait."""
        for attempt in await stored(self._recorder.alive, self.name):
            if attempt.id in self._claiming:
                self._cares[attempt.id].cancel()
                await stored(self._recorder.give_back, attempt)

    async def _seek_lead(self) -> None:
        if await self._planning.seek_lead(gives_way=self._gives_way):
            self.wake()

    async def _look(self) -> None:
        """Plan once, and sleep until something changes or time alone changes the answer."""
        self._wake.clear()
        if self._heartbeat.is_due:
            await self._beat()
        turn = await self._planning.turn()
        if turn.has_taken:
            await self._care()
        if turn.has_called:
            self._hosts.wanted()
        if turn.again:
            self._wake.set()
        self._mirror.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(turn.pause_seconds):
                await self._wake.wait()

    async def _care(self) -> None:
        """See that every attempt of ours is looked after, and that what was cancelled ends."""
        alive = await stored(self._recorder.alive, self.name)
        if self._leftovers is None:
            self._leftovers = {attempt.id for attempt in alive}
        for attempt in alive:
            if attempt.id not in self._cares:
                care = asyncio.create_task(self._perform(attempt), name=f"attempt {attempt.folder_name}")
                self._cares[attempt.id] = care
                care.add_done_callback(partial(self._let_go, attempt.id))
            elif attempt.cancel_requested and attempt.id not in self._cancelled:
                self._begin_cancel(attempt)

    def _let_go(self, attempt_id: int, _care: asyncio.Task[None]) -> None:
        self._cares.pop(attempt_id, None)
        self._cancelled.discard(attempt_id)
        self._graces.pop(attempt_id, None)
        self.wake()

    def _begin_cancel(self, attempt: Attempt) -> None:
        """In a task of its own: a host that is slow to answer holds up no other."""
        if attempt.id not in self._cancels:
            task = asyncio.create_task(self._cancel(attempt), name=f"cancel {attempt.folder_name}")
            self._cancels[attempt.id] = task
            task.add_done_callback(lambda _: self._cancels.pop(attempt.id, None))

    async def _cancel(self, attempt: Attempt) -> None:
        if attempt.id in self._claiming:
            self._cares[attempt.id].cancel()
            await self._end(attempt, Outcome(exit_code=None, reason="cancelled before it started"))
            return
        if attempt.work_pool is not None or self._hosts.stop_copying(attempt):
            return
        try:
            machine = await stored(self._hosts.machines.of, attempt.host_name)
            folder = self._launches.folder(attempt)
            grace = await self._grace(attempt)
            status = await ask(machine, machine.status, folder)
            if status.state is RunState.ABSENT:
                return  # it is just about to start: asked again at the next turn
            await ask(machine, machine.cancel, folder, grace_seconds=grace)
        except (SupervisorError, HostNotFound) as error:
            log.warning("job %d is not cancelled yet: %s", attempt.job_id, error)
            return
        self._cancelled.add(attempt.id)

    async def _grace(self, attempt: Attempt) -> float:
        if attempt.id not in self._graces:
            self._graces[attempt.id] = await stored(self._launches.grace_seconds, attempt)
        return self._graces[attempt.id]

    async def _perform(self, seen: Attempt) -> None:
        """From where the attempt stands to its end. Looked up afresh: `seen` may have ended since."""
        attempt = await stored(self._recorder.fresh, seen.id)
        if attempt is None:
            return
        try:
            if attempt.work_pool is not None:
                await self._perform_elsewhere(attempt)
                return
            machine = await stored(self._hosts.machines.of, attempt.host_name)
            if await self._has_started(attempt, machine):
                await self._follow(attempt, machine, None)
            elif (launch := await self._prepare(attempt)) is not None:
                machine = await stored(self._hosts.machines.of, attempt.host_name)
                await self._follow(attempt, machine, launch)
        except OldToken as error:
            log.warning("%s", error)
            await self._cancel(attempt)  # it was given up: its job may run again elsewhere
        except HostNotFound as error:
            await self._miss_host(attempt, error)
        except MachineLost as error:
            await self._end(attempt, Outcome(exit_code=None, reason=f"outcome unknown: {error}"))
        except Exception:
            log.exception("attempt %s stumbled; it is looked at again", attempt.folder_name)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _miss_host(self, attempt: Attempt, error: HostNotFound) -> None:
        """Its file is gone, or broken: as with a host out of reach, the command may go on there."""
        now = asyncio.get_running_loop().time()
        if attempt.id not in self._missed:
            self._missed[attempt.id] = now
            log.error("job %d runs on unseen until the file is back: %s", attempt.job_id, error)
        if attempt.cancel_requested or now - self._missed[attempt.id] >= LOST_AFTER_SECONDS:
            await self._end(attempt, Outcome(exit_code=None, reason=f"outcome unknown: {error}"))
        else:
            await asyncio.sleep(LOOK_SECONDS)

    async def _perform_elsewhere(self, attempt: Attempt) -> None:
        """By a worker of another work pool, which reports to the manager."""
        try:
            if not await self._pool_runs.has_begun(attempt):
                if not await self._may_start(attempt):
                    return
                await self._pool_runs.prepare(attempt)
            outcome = await self._pool_runs.follow(attempt)
        except CannotLaunch as error:
            outcome = Outcome(exit_code=None, reason=str(error))
        except (OrchestratorRefused, PoolGone) as error:
            log.error("job %d waits: %s", attempt.job_id, error)  # noqa: TRY400  its sentence says it whole
            await stored(self._recorder.give_back, attempt, self._refusal(error))
            return
        if outcome is not None:
            await self._end(attempt, outcome)

    async def _has_started(self, attempt: Attempt, machine: Machine) -> bool:
        """Its command was started before; a crash may have come before that was written down."""
        if attempt.state is AttemptState.RUNNING:
            return True
        if attempt.host_name is not None and attempt.id not in (self._leftovers or ()):
            return False  # it was taken in this process, and nothing has been asked of its host yet
        patience = Patience(machine, lost_after_seconds=self._hosts.lost_after_seconds(attempt))
        status = await patience.reach(machine.status, self._launches.folder(attempt))
        return status.state not in NOT_STARTED

    async def _prepare(self, attempt: Attempt) -> Launch | None:
        """What is to be started; None when there is nothing (any more)."""
        if not await self._may_start(attempt):
            return None
        try:
            if attempt.host_name is None:
                return await stored(self._launches.launch, attempt)
            return await self._hosts.launch(attempt, attempt.host_name, await self._grace(attempt))
        except HostNotReady as error:
            log.info("job %d waits: %s", attempt.job_id, error)
            await stored(self._recorder.give_back, attempt)
        except CannotLaunch as error:
            await self._end(attempt, Outcome(exit_code=None, reason=str(error)))
        return None

    async def _may_start(self, attempt: Attempt) -> bool:
        self._claiming.add(attempt.id)
        try:
            await self._mirror.claim(attempt)
        except CancelledInPrefect:
            await stored(self._recorder.request_cancel, attempt, "a person in Prefect", self._clock())
            await self._end(attempt, Outcome(exit_code=None, reason="cancelled in Prefect"))
            return False
        except OrchestratorRefused as error:
            # Nothing has started, and it is not the job's fault: others go on, this one is tried again.
            log.error("job %d waits: %s", attempt.job_id, error)  # noqa: TRY400  its sentence says it whole
            await stored(self._recorder.give_back, attempt, self._refusal(error))
            return False
        finally:
            self._claiming.discard(attempt.id)
        try:
            look = await stored(self._launches.second_look, attempt, self._clock())
        except NoLongerPermitted as error:
            await self._end(attempt, Outcome(exit_code=None, reason=str(error)), OnFail())
            return False
        if look is Look.GIVE_BACK:
            await stored(self._recorder.give_back, attempt)
        elif look is Look.GONE:
            await self._end(attempt, Outcome(exit_code=None, reason="cancelled before it started"))
        return look is Look.GO

    def _refusal(self, error: FlowsError) -> Reason:
        until = self._clock() + timedelta(seconds=REFUSED_SECONDS)
        return Reason(code=ReasonCode.PREFECT_DOWN, text=str(error), until=until)

    async def _follow(self, attempt: Attempt, machine: Machine, launch: Launch | None) -> None:
        if self._leftovers is not None:
            self._leftovers.add(attempt.id)  # from here on it may have started
        run = Run(
            machine=machine,
            folder=self._launches.folder(attempt),
            recorder=_AttemptRecorder(self, attempt, await stored(self._progress.of, attempt)),
            launch=launch,
            position=Position(stdout=attempt.stdout_bytes, stderr=attempt.stderr_bytes),
            grace_seconds=await self._grace(attempt),
            lost_after_seconds=self._hosts.lost_after_seconds(attempt),
            clock=self._clock,
        )
        await run.perform()

    async def _end(self, attempt: Attempt, outcome: Outcome, on_fail: OnFail | None = None) -> None:
        """`on_fail` None: what the job's type says."""
        if on_fail is None:
            on_fail = await stored(self._launches.on_fail, attempt)
        await stored(self._recorder.ended, attempt, outcome, on_fail, self._clock())
        self.wake()


class _AttemptRecorder:
    """A run's recorder that writes into the database, however long that is away."""

    def __init__(self, dispatcher: Dispatcher, attempt: Attempt, progress: AttemptProgress | None) -> None:
        self._dispatcher = dispatcher
        self._attempt = attempt
        self._progress = progress
        self._later: asyncio.Task[None] | None = None

    async def started(self, at: datetime) -> None:
        await stored(self._dispatcher._recorder.started, self._attempt, at)
        self._dispatcher._mirror.wake()

    async def output(self, chunks: Sequence[Chunk]) -> None:
        await stored(self._dispatcher._recorder.add_output, self._attempt, chunks)
        if self._progress is not None:
            await asyncio.to_thread(self._progress.read, chunks)
            if self._progress.is_unwritten and (self._later is None or self._later.done()):
                self._later = asyncio.create_task(self._write_later(self._progress), name="late progress")
        self._dispatcher._mirror.output_added(self._attempt.id)

    async def _write_later(self, progress: AttemptProgress) -> None:
        """Else a command that tells twice in a second and then works for an hour would stand at the first."""
        await asyncio.sleep(WRITE_SECONDS)
        await stored(progress.write)

    async def cut(self) -> None:
        await stored(self._dispatcher._recorder.cut, self._attempt, self._dispatcher._clock())
        self._dispatcher._mirror.output_added(self._attempt.id)

    async def ended(self, outcome: Outcome) -> None:
        """With its files: the command has run, and is never run again because they could not be copied."""
        if self._later is not None:
            self._later.cancel()
        if self._progress is not None:
            await stored(self._progress.write)
        hosts = self._dispatcher._hosts
        fetched = await hosts.fetch(self._attempt, outcome)
        await self._dispatcher._end(self._attempt, fetched.outcome, OnFail() if fetched.kept else None)
        await hosts.clean(self._attempt)
