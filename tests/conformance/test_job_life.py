"""The life of jobs, with everything real but Prefect and the command.

Any order of what the planner, a command, people and faults do ends in what the rows say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import insert, select, update

from batchd_api.books import Books
from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs, queues
from batchd_api.db.upgrade import upgrade
from batchd_api.forms import Forms
from batchd_api.hands import Hands
from batchd_api.mirror import CancelledInPrefect, Mirror
from batchd_api.planner import plan
from batchd_api.pools import Pools
from batchd_api.prefect_words import PrefectWords
from batchd_api.reconcile import FINAL, reconcile
from batchd_api.recorder import Attempt, OldToken, Recorder
from batchd_api.services.deletion import delete_jobs
from batchd_api.services.installation import ensure_first_rows
from batchd_api.statuses import AttemptState, JobStatus
from batchd_api.watch import Watch
from batchd_api.world import WorldStore, beat
from batchd_flows.job_types import COMMAND, JobTypes, OnFail, RetryWhen
from batchd_flows.names import pool_name
from batchd_flows.orchestrator_records import OrchestratorUnavailable, RunView, StateType
from batchd_flows.run import Outcome
from tests.fake_prefect import FakePrefect, Fault

QUEUES = ("default", "other")
ON_FAIL = {"stay": OnFail(), "retry": OnFail(when=RetryWhen.NOW, count=1)}
MANY_ROUNDS = 60
BY_HAND = "By hand"  # the name of a state that a person sets in the fake


class JobLife(RuleBasedStateMachine):
    """One rule is one thing that may happen; after each, the machine may be at rest or in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database("sqlite://")
        upgrade(self.database)
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        with self.database.write() as connection:
            self.installation_id = ensure_first_rows(connection, self.now)
            connection.execute(
                insert(queues).values(name="other", title="", enabled=True, schedule_name="anytime")
            )
        self.prefect = FakePrefect()
        self.types = JobTypes([COMMAND])
        self.recorder = Recorder(self.database)
        self.starts: dict[int, int] = {}
        self.loop = asyncio.new_event_loop()
        self.restart()

    def teardown(self) -> None:
        self.prefect.fault = None
        self.come_to_rest()
        self.loop.close()
        self.database.close()

    # What happens in the daemon

    @rule()
    def restart(self) -> None:
        """Everything in memory is lost."""
        books, hands = Books(self.database), Hands(self.database)
        words = PrefectWords(self.types, installation_id=self.installation_id, workers=2, variables={})
        prefect: Any = self.prefect
        pools = Pools(books, hands, prefect, words, worker_name="d")
        forms = Forms(
            self.database,
            prefect,
            self.types,
            installation_id=self.installation_id,
            variables={},
            user="root",
            clock=lambda: self.now,
        )
        self.watch = Watch(books, hands, prefect, forms, pools, wake=lambda: None, clock=lambda: self.now)
        self.mirror = self.do(self._mirror(books, prefect, words, pools))
        self.books = books
        self.world = WorldStore(self.database, self.types, {}, ZoneInfo("UTC"))

    async def _mirror(self, books: Books, prefect: Any, words: PrefectWords, pools: Pools) -> Mirror:
        return Mirror(books, prefect, words, pools, self.watch, log_limit_bytes=1000)

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @rule(at=st.integers(0, 4), after_effect=st.booleans())
    def a_write_will_fail(self, at: int, after_effect: bool) -> None:
        self.prefect.fault = Fault(at=at, after_effect=after_effect)

    @rule()
    def the_mirror_makes_a_round(self) -> None:
        with contextlib.suppress(OrchestratorUnavailable):
            self.do(self.mirror.step())

    @rule()
    def everything_is_looked_at(self) -> None:
        self.watch.look_again()
        self.the_mirror_makes_a_round()

    @rule()
    def the_planner_plans(self) -> None:
        self.now += timedelta(seconds=1)
        beat(self.database, "d", 2, None, self.now)
        seen = self.world.look(self.now, prefect_down=None)
        self.world.apply(seen, plan(seen.world))

    # What happens to a taken attempt

    def alive(self, state: AttemptState) -> list[Attempt]:
        return [attempt for attempt in self.recorder.alive("d") if attempt.state is state]

    @precondition(lambda self: self.alive(AttemptState.TAKEN))
    @rule()
    def a_taken_attempt_is_claimed_and_started(self) -> None:
        attempt = self.alive(AttemptState.TAKEN)[0]
        try:
            self.do(self._claim(attempt))
        except CancelledInPrefect:
            self.recorder.request_cancel(attempt, "a person", self.now)
            self.end(attempt, Outcome(exit_code=None, reason="cancelled in Prefect"))
            return
        except OrchestratorUnavailable:
            return
        if self.job_of(attempt) is None or self.recorder.fresh(attempt.id) is None:
            return
        self.starts[attempt.job_id] = self.starts.get(attempt.job_id, 0) + 1
        self.recorder.started(attempt, self.now)

    async def _claim(self, attempt: Attempt) -> None:
        claim = asyncio.create_task(self.mirror.claim(attempt))
        await asyncio.sleep(0)
        try:
            await self.mirror.step()
            await claim
        finally:
            claim.cancel()
            await asyncio.gather(claim, return_exceptions=True)

    @precondition(lambda self: self.alive(AttemptState.TAKEN))
    @rule()
    def a_taken_attempt_is_given_back(self) -> None:
        with contextlib.suppress(OldToken):
            self.recorder.give_back(self.alive(AttemptState.TAKEN)[0])

    @precondition(lambda self: self.alive(AttemptState.RUNNING))
    @rule(code=st.sampled_from([0, 1, None]), on_fail=st.sampled_from(sorted(ON_FAIL)))
    def a_command_ends(self, code: int | None, on_fail: str) -> None:
        attempt = self.alive(AttemptState.RUNNING)[0]
        reason = "cancelled" if attempt.cancel_requested else None
        self.end(attempt, Outcome(exit_code=code, reason=reason), ON_FAIL[on_fail])

    def end(self, attempt: Attempt, outcome: Outcome, on_fail: OnFail = OnFail()) -> None:  # noqa: B008
        self.recorder.ended(attempt, outcome, on_fail, self.now)

    # What people do here

    @rule(queue=st.sampled_from(QUEUES), held=st.booleans())
    def a_job_is_enqueued(self, queue: str, held: bool) -> None:
        with self.database.write() as connection:
            seq = len(list(connection.execute(select(jobs.c.id)))) + 1
            status = JobStatus.POSTPONED if held else JobStatus.NEW
            connection.execute(
                insert(jobs).values(
                    queue_name=queue, seq=seq, type_name="command", user_name="a", create_time=self.now,
                    status=status, params={"command": "true"},
                )
            )  # fmt: skip

    def all_jobs(self) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(select(jobs).order_by(jobs.c.id)))

    def job_of(self, attempt: Attempt) -> Any:
        return next((job for job in self.all_jobs() if job.id == attempt.job_id), None)

    def waiting(self) -> list[Any]:
        return [job for job in self.all_jobs() if job.status in ("New", "Postponed")]

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), status=st.sampled_from(["New", "Postponed"]), queue=st.sampled_from(QUEUES))
    def a_waiting_job_is_held_released_or_moved(self, data: st.DataObject, status: str, queue: str) -> None:
        job = data.draw(st.sampled_from(self.waiting()))
        with self.database.write() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job.id)
                .values(status=status, queue_name=queue, version=jobs.c.version + 1)
            )

    @precondition(lambda self: self.all_jobs())
    @rule(data=st.data())
    def a_job_is_deleted(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.all_jobs()))
        with self.database.write() as connection:
            delete_jobs(connection, jobs.c.id == job.id, by="a", now=self.now)

    # What people do in Prefect

    @precondition(lambda self: self.prefect.runs)
    @rule(data=st.data(), state=st.sampled_from(sorted(StateType)))
    def a_person_sets_a_state(self, data: st.DataObject, state: StateType) -> None:
        run = data.draw(st.sampled_from(list(self.prefect.runs.values())))
        self.prefect.by_hand(run.id, state)

    @precondition(lambda self: self.prefect.runs)
    @rule(data=st.data())
    def a_person_deletes_a_run(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(list(self.prefect.runs.values())))
        del self.prefect.runs[run.id]

    @precondition(lambda self: self.prefect.pools)
    @rule(queue=st.sampled_from(QUEUES))
    def a_person_deletes_a_pool(self, queue: str) -> None:
        self.prefect.drop_pool(pool_name(queue))

    # What must hold

    @invariant()
    def no_job_has_two_living_attempts(self) -> None:
        living = [attempt.job_id for attempt in self.recorder.alive("d")]
        assert len(living) == len(set(living))

    @invariant()
    def no_job_is_started_more_often_than_it_has_attempts(self) -> None:
        for job in self.all_jobs():
            assert self.starts.get(job.id, 0) <= job.attempt

    @rule()
    def all_comes_to_rest(self) -> None:
        self.prefect.fault = None
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """A new process with no more faults, and enough rounds: Prefect shows every row."""
        self.restart()
        for _ in range(MANY_ROUNDS):
            self.watch.look_again()
            if not self.do(self.mirror.step()) and self.agrees() is None:
                break
            self.restart()
        disagreement = self.agrees()
        assert disagreement is None, disagreement

    def agrees(self) -> str | None:
        """What does not agree, if anything."""
        known: set[UUID] = set()
        for job in self.all_jobs():
            entry = self.books.entry(job.id)
            assert entry is not None
            missing = reconcile(entry.row, entry.runs)
            if missing:
                return f"job {job.id}: {missing}"
            taken = {attempt.number for attempt in entry.row.attempts if attempt.state is AttemptState.TAKEN}
            for run in entry.runs:
                known.add(UUID(run.id))
                if run.attempt in taken:
                    continue  # its claim comes at any moment and puts it right
                seen = self.prefect.runs.get(UUID(run.id))
                if seen is None and run.shown not in FINAL:
                    return f"run {run} is not there"
                if (
                    seen is not None
                    and seen.state_name == BY_HAND
                    and seen.state_type.is_final
                    and run.is_final
                ):
                    continue  # nobody looks at what has ended; the event, lost here, would have told
                shown = {seen.state_type, seen.state_name} if seen else {run.shown}
                shown |= {"CANCELLING"} & {run.shown} if "CANCELLED" in shown else set()
                if seen is not None and run.shown not in shown:
                    return f"run {run} shows {seen.state_type} {seen.state_name}"
            live = [run for run in entry.runs if run.shown not in FINAL]
            if len(live) > 1:
                return f"job {job.id} has {len(live)} live runs"
        return self.leftovers(known)

    def leftovers(self, known: set[UUID]) -> str | None:
        """Live runs that are no job's; those of a deleted job go when its tree has ended."""
        with self.database.read() as connection:
            going = {
                UUID(row.id) for row in connection.execute(select(flow_runs.c.id).where(flow_runs.c.gone))
            }
            ending = connection.execute(select(attempts.c.id).where(attempts.c.state != "ended")).first()
        stray = [run for run in self.live() if run.id not in known and not (ending and run.id in going)]
        return f"stray runs {stray}" if stray else None

    def live(self) -> list[RunView]:
        return [run for run in self.prefect.runs.values() if not run.state_type.is_final and run.pool_name]


JobLife.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestJobLife = JobLife.TestCase


@pytest.mark.parametrize("at", range(8))
def test_a_run_whose_making_was_answered_to_nobody_goes_when_its_job_has_moved_back(at: int) -> None:
    life = JobLife()
    life.a_job_is_enqueued("default", held=True)
    life.all_comes_to_rest()
    move(life, "other")
    life.a_write_will_fail(at=at, after_effect=True)
    life.the_mirror_makes_a_round()
    move(life, "default")
    life.teardown()


def move(life: JobLife, queue: str) -> None:
    with life.database.write() as connection:
        connection.execute(update(jobs).values(queue_name=queue, version=jobs.c.version + 1))
