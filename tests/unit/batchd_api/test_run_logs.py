"""A run's Prefect log: a record a second at most, both streams apart, and a pointer where it ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_api import run_logs
from batchd_api.books import Backlog, Books
from batchd_api.db.tables import NOTE
from batchd_api.reconcile import RunView
from batchd_api.recorder import CUT_SENTENCE, Recorder
from batchd_api.run_logs import POINTER, RECORD_BYTES, RunLogs, turn_of
from batchd_flows.orchestrator_records import LogBlock, OrchestratorRefused
from batchd_flows.run import CHUNK_BYTES, Chunk
from tests.ground import NOW, Installation

RUN_ID = "00000000-0000-0000-0000-000000000001"


class Prefect:
    """What it was sent, and when on the clock of the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.records: list[tuple[float, LogBlock]] = []
        self.refuses: OrchestratorRefused | None = None

    async def log(self, run_id: UUID, blocks: Sequence[LogBlock]) -> None:
        assert str(run_id) == RUN_ID
        if self.refuses:
            raise self.refuses
        self.records += [(self.now, block) for block in blocks]

    def text(self, level: int) -> str:
        return "".join(block.text for _, block in self.records if block.level == level)


class Log:
    """A running job with a flow run, whose output goes to its log."""

    def __init__(self, here: Installation, prefect: Prefect, limit_bytes: int) -> None:
        self.prefect = prefect
        self.recorder = Recorder(here.database)
        self.job = here.enqueue()
        here.attempt(self.job)
        books = Books(here.database)
        run = RunView(id=RUN_ID, attempt=1, number=1, queue_name="default", shown="RUNNING")
        books.note_created(run, self.job, "#1")
        (self.attempt,) = self.recorder.alive("d")
        self.limit_bytes = limit_bytes
        self.logs = self.new_logs(books)

    def new_logs(self, books: Books) -> RunLogs:
        """As a new process has them."""
        orchestrator: Any = self.prefect
        return RunLogs(books, orchestrator, limit_bytes=self.limit_bytes, monotonic=lambda: self.prefect.now)

    def write(self, data: bytes, stream: Any = "stdout") -> None:
        """As a command's bytes are recorded."""
        done = self.recorder.fresh(self.attempt.id)
        assert done is not None
        offset = done.stdout_bytes if stream == "stdout" else done.stderr_bytes
        chunks = [
            Chunk(stream=stream, offset=offset + start, data=data[start : start + CHUNK_BYTES], time=NOW)
            for start in range(0, len(data), CHUNK_BYTES)
        ]
        self.recorder.add_output(self.attempt, chunks)
        self.logs.added(self.attempt.id)

    async def send_all(self) -> None:
        while (due := self.logs.due) is not None:
            self.prefect.now = max(self.prefect.now, due)
            assert await self.logs.step()


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.mark.anyio
async def test_c1_200000_lines_are_a_record_a_second_up_to_the_limit_and_then_a_pointer(here, prefect):
    log = Log(here, prefect, 2**20)
    lines = b"".join(b"line %d\n" % number for number in range(200_000))
    for start in range(0, len(lines), 400_000):
        log.write(lines[start : start + 400_000])
    await log.send_all()
    times = [moment for moment, _ in prefect.records]
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))
    assert all(len(block.text) <= RECORD_BYTES for _, block in prefect.records)
    assert prefect.text(logging.INFO) == lines[: 2**20].decode()
    assert prefect.text(logging.WARNING) == POINTER
    assert prefect.records[-1][1].text == POINTER
    sent = len(prefect.records)
    log.write(b"more")
    await log.send_all()
    assert len(prefect.records) == sent


@pytest.mark.anyio
async def test_both_streams_have_their_level_and_still_a_record_a_second(here, prefect):
    log = Log(here, prefect, 2**20)
    for number in range(5):
        log.write(b"out %d\n" % number)
        log.write(b"err %d\n" % number, "stderr")
    await log.send_all()
    assert [(moment, block.level) for moment, block in prefect.records] == [
        (0.0, logging.INFO), (1.0, logging.WARNING),
    ]  # fmt: skip
    assert prefect.text(logging.WARNING) == "".join(f"err {number}\n" for number in range(5))


@pytest.mark.anyio
async def test_a_process_that_dies_between_two_records_of_a_turn_loses_none(here, prefect):
    log = Log(here, prefect, 2**20)
    log.write(b"out\n")
    log.write(b"err\n", "stderr")
    assert await log.logs.step()
    log.logs = log.new_logs(Books(here.database))
    await log.logs.start()
    await log.send_all()
    assert [block.text for _, block in prefect.records] == ["out\n", "out\n", "err\n"]


@pytest.mark.anyio
async def test_that_output_was_cut_is_said_also_past_the_limit(here, prefect):
    log = Log(here, prefect, 10)
    log.write(b"0123456789abc")
    log.recorder.cut(log.attempt, NOW)
    log.recorder.cut(log.attempt, NOW)
    await log.send_all()
    assert [block.text for _, block in prefect.records] == ["0123456789", POINTER, CUT_SENTENCE]


@pytest.mark.anyio
async def test_a_record_that_prefect_refuses_stops_no_other(here, prefect):
    log = Log(here, prefect, 2**20)
    log.write(b"first\n")
    prefect.refuses = OrchestratorRefused(422, "no")
    await log.logs.step()
    prefect.refuses = None
    log.write(b"second\n")
    await log.send_all()
    assert prefect.text(logging.INFO) == "second\n"
    prefect.refuses = OrchestratorRefused(401, "who are you")
    log.write(b"third\n")
    prefect.now += 10
    with pytest.raises(OrchestratorRefused):
        await log.logs.step()


ROWS = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr", NOTE]), st.binary(min_size=1, max_size=40)), min_size=1
)


@given(rows=ROWS, limit=st.integers(0, 200), room=st.integers(1, 100))
def test_whatever_the_rows_all_are_taken_in_order_up_to_the_limit(rows, limit, room):
    numbered = [
        (number, NOW, stream, b"n" if stream == NOTE else data) for number, (stream, data) in enumerate(rows)
    ]
    logged, texts = 0, {"stdout": "", "stderr": ""}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_logs, "RECORD_BYTES", room)
        while numbered:
            backlog = Backlog(attempt_id=1, run_id=RUN_ID, logged_bytes=logged, rows=numbered)
            turn = turn_of(backlog, limit)
            assert turn.rows >= 1
            numbered, logged = numbered[turn.rows :], turn.logged_bytes
            plain = [block for block in turn.blocks if block.text not in (POINTER, "n")]
            assert len({block.level for block in plain}) == len(plain) <= 2
            for block in plain:
                texts["stdout" if block.level == logging.INFO else "stderr"] += block.text
    whole = [data for stream, data in rows if stream != NOTE]
    assert logged <= max(limit + 40, 0)
    assert logged == sum(len(data) for data in whole) or logged >= limit
