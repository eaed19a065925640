"""States that many runs get at once, with a database and a Prefect in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from batchd_api.books import Books
from batchd_api.bulk_states import AT_ONCE, BulkStates
from batchd_api.reconcile import RunView
from batchd_flows.orchestrator_records import (
    DeploymentSpec,
    End,
    OrchestratorRefused,
    OrchestratorUnavailable,
    PoolSpec,
    RunSpec,
    StateType,
    Waiting,
)
from tests.fake_prefect import FakePrefect, Fault
from tests.ground import NOW, Installation

pytestmark = pytest.mark.anyio


class Prefect(FakePrefect):
    """Counts its calls, and refuses them where told."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self.refuses = False

    async def report_running_all(self, run_ids: Sequence[UUID]) -> set[UUID]:
        self._called("running", run_ids)
        return await super().report_running_all(run_ids)

    async def report_end_all(self, run_ids: Sequence[UUID], end: End) -> set[UUID]:
        self._called(end.message, run_ids)
        return await super().report_end_all(run_ids, end)

    def _called(self, what: str, run_ids: Sequence[UUID]) -> None:
        if self.refuses:
            raise OrchestratorRefused(404, "not found")
        self.calls.append((what, len(run_ids)))


@dataclass
class Board:
    """Jobs with claimed runs, and what came of showing them."""

    here: Installation
    books: Books
    prefect: Prefect
    ended: list[str] = field(default_factory=list)
    own: list[tuple[str, str]] = field(default_factory=list)
    breaks: int = 0

    def own_write(self, run_id: str, shown: str) -> None:
        self.own.append((run_id, shown))

    async def job(self, status: str, exit_code: int | None = None) -> int:
        job_id = self.here.enqueue()
        state = "running" if status == "Processing" else "ended"
        self.here.attempt(job_id, state=state, exit_code=exit_code)
        self.here.set_job(job_id, status=status)
        pool = await self.prefect.ensure_pool(PoolSpec(name="batchd-default"))
        spec = DeploymentSpec(flow_name="command", name="default", entrypoint="x", pool_name=pool.name)
        run_id = await self.prefect.create_run(
            RunSpec(
                deployment_id=await self.prefect.ensure_deployment(spec),
                name=f"#{job_id}",
                idempotency_key=str(job_id),
                waiting=Waiting(code_name="InQueue", message=""),
                scheduled_time=NOW,
            )
        )
        await self.prefect.claim(run_id)
        view = RunView(id=str(run_id), attempt=1, number=1, queue_name="default", shown="PENDING")
        self.books.note_created(view, job_id, f"#{job_id}")
        return job_id

    def run(self, job_id: int) -> Any:
        return self.prefect.runs[UUID(self.books.entry(job_id).runs[0].id)]  # type: ignore[union-attr]

    def shown(self, *job_ids: int) -> list[str]:
        return [entry.runs[0].shown for entry in self.books.entries(job_ids)]

    async def show(self, *job_ids: int) -> list[int]:
        async def between() -> None:
            self.breaks += 1

        watch: Any = self
        orchestrator: Any = self.prefect
        bulk = BulkStates(self.books, orchestrator, watch, ended=self.ended.append)
        return await bulk.show(job_ids, between)


@pytest.fixture
def board(here: Installation) -> Board:
    return Board(here, Books(here.database), Prefect())


async def test_a_call_a_state_shows_them_all_and_they_are_no_longer_due(board: Board) -> None:
    running = await board.job("Processing")
    done = [await board.job("Done", 0) for _ in range(2)]
    failed = await board.job("Failed", 3)
    job_ids = [*done, failed, running]
    assert await board.show(*job_ids) == []
    assert board.prefect.calls == [("running", 4), ("exit code 0", 2), ("exit code 3", 1)]
    assert board.shown(*job_ids) == ["COMPLETED", "COMPLETED", "FAILED", "RUNNING"]
    assert [board.run(job_id).state_type for job_id in job_ids] == board.shown(*job_ids)
    assert board.books.due(20) == []
    assert len(board.ended) == 3
    assert board.breaks == 3
    assert set(board.own) >= {(str(board.run(failed).id), "RUNNING"), (str(board.run(failed).id), "FAILED")}


async def test_one_alone_and_what_wants_more_than_a_state_are_left(board: Board) -> None:
    running, waiting = await board.job("Processing"), board.here.enqueue()
    assert await board.show(running, waiting) == [running, waiting]
    assert board.prefect.calls == []


async def test_what_wants_more_is_left_beside_what_does_not(board: Board) -> None:
    waiting = board.here.enqueue()
    runs = [await board.job("Processing") for _ in range(2)]
    assert await board.show(waiting, *runs) == [waiting]


async def test_a_claim_waits_for_no_long_list(board: Board) -> None:
    runs = [await board.job("Processing") for _ in range(AT_ONCE + 1)]
    assert await board.show(*runs) == []
    assert board.prefect.calls == [("running", AT_ONCE), ("running", 1)]


async def test_who_did_not_take_the_state_is_left_with_its_end_unwritten(board: Board) -> None:
    gone, cancelled, *others = [await board.job("Done", 0) for _ in range(4)]
    await board.prefect.delete_run(board.run(gone).id)
    board.prefect.by_hand(board.run(cancelled).id, StateType.CANCELLING)
    assert await board.show(gone, cancelled, *others) == [gone, cancelled]
    assert board.run(cancelled).state_type is StateType.CANCELLING
    assert board.shown(gone, cancelled, *others) == ["PENDING", "PENDING", "COMPLETED", "COMPLETED"]


async def test_what_stands_in_prefect_is_noted_when_it_goes_away_meanwhile(board: Board) -> None:
    done = [await board.job("Done", 0) for _ in range(2)]
    board.prefect.fault = Fault(at=2, after_effect=False)  # both run; no end is taken
    with pytest.raises(OrchestratorUnavailable):
        await board.show(*done)
    assert board.shown(*done) == ["RUNNING", "RUNNING"]
    assert board.books.due(20) == done
    assert await board.show(*done) == []
    assert board.shown(*done) == ["COMPLETED", "COMPLETED"]


async def test_a_prefect_that_knows_no_such_call_is_asked_one_by_one(board: Board) -> None:
    done = [await board.job("Done", 0) for _ in range(2)]
    board.prefect.refuses = True
    assert await board.show(*done) == done
