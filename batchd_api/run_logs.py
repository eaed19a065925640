"""Output in the runs' Prefect logs: one record a second and run at most, up to a limit, then a pointer.

A turn takes what has come of an attempt since the last one: a record for each stream, sent a second apart.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from batchd_api.books import Backlog, Books
from batchd_api.db.tables import NOTE
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import LogBlock, OrchestratorRefused

log = logging.getLogger("batchd.mirror")

SECONDS = 1.0
ROWS_AT_ONCE = 32
RECORD_BYTES = 64 * 1024  # of one stream in one turn; no row is larger
LEVELS = {"stdout": logging.INFO, "stderr": logging.WARNING}
POINTER = "The log of this run ends here; `batch logs ID` and /job/ID/results have the whole output."


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What goes into the log next, and how far it then has come."""

    blocks: tuple[LogBlock, ...]
    rows: int
    logged_bytes: int


@dataclass(kw_only=True)
class _Sending:
    backlog: Backlog
    turn: Turn
    sent: int = 0


class RunLogs:
    """Runs in the event loop; the books are read in threads."""

    def __init__(
        self,
        books: Books,
        orchestrator: Orchestrator,
        *,
        limit_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._books = books
        self._orchestrator = orchestrator
        self._limit_bytes = limit_bytes
        self._due: dict[int, float] = {}  # attempt → when its next record may go
        self._written: set[int] = set()  # attempts with output since their last look
        self._sending: dict[int, _Sending] = {}

    async def start(self) -> None:
        """Find what a process before this one has not sent."""
        for attempt_id in await asyncio.to_thread(self._books.unlogged):
            self._due.setdefault(attempt_id, 0.0)

    def added(self, attempt_id: int) -> None:
        """An attempt has output that its log lacks."""
        self._due.setdefault(attempt_id, 0.0)
        self._written.add(attempt_id)

    @property
    def due(self) -> float | None:
        """When the next record may go, on the monotonic clock; None: nothing is to be sent."""
        return min(self._due.values(), default=None)

    async def step(self) -> bool:
        """Send one record of the attempt that has waited longest. False: none is due."""
        now = self._monotonic()
        attempt_id = min(self._due, key=lambda attempt: self._due[attempt], default=None)
        if attempt_id is None or self._due[attempt_id] > now:
            return False
        sending = self._sending.get(attempt_id) or await self._next(attempt_id)
        if sending is not None:
            await self._send(attempt_id, sending)
            self._due[attempt_id] = self._monotonic() + SECONDS
        elif attempt_id not in self._written:  # else it wrote while we looked
            del self._due[attempt_id]
        return True

    async def _next(self, attempt_id: int) -> _Sending | None:
        self._written.discard(attempt_id)
        backlog = await asyncio.to_thread(self._books.backlog, attempt_id, ROWS_AT_ONCE, self._limit_bytes)
        if backlog is None:
            return None
        sending = _Sending(backlog=backlog, turn=turn_of(backlog, self._limit_bytes))
        self._sending[attempt_id] = sending
        return sending

    async def _send(self, attempt_id: int, sending: _Sending) -> None:
        """What was sent is noted when the whole turn was: a crash may send a record twice, and loses none."""
        backlog, turn = sending.backlog, sending.turn
        if sending.sent < len(turn.blocks):
            await self._log(backlog.run_id, turn.blocks[sending.sent])
            sending.sent += 1
        if sending.sent < len(turn.blocks):
            return
        del self._sending[attempt_id]
        last_id = backlog.rows[turn.rows - 1][0]
        await asyncio.to_thread(self._books.note_logged, attempt_id, last_id, turn.logged_bytes)

    async def _log(self, run_id: str, block: LogBlock) -> None:
        try:
            await self._orchestrator.log(UUID(run_id), [block])
        except OrchestratorRefused as error:
            if error.status in (401, 403):  # it refuses us, not this record
                raise
            log.error("a part of the log of run %s is left out: %s", run_id, error)  # noqa: TRY400  said whole


def turn_of(backlog: Backlog, limit_bytes: int) -> Turn:
    """The first rows as one block a stream, cut at the limit with a pointer to the rest."""
    streams: dict[str, list[bytes]] = {stream: [] for stream in LEVELS}
    notes: list[LogBlock] = []
    logged, rows = backlog.logged_bytes, 0
    for _, moment, stream, data in backlog.rows:
        if stream == NOTE:
            notes.append(LogBlock(time=moment, level=logging.WARNING, text=data.decode()))
        elif _size(streams[stream]) and _size(streams[stream]) + len(data) > RECORD_BYTES:
            break
        elif logged < limit_bytes:
            streams[stream].append(data[: limit_bytes - logged])
            logged += len(data)
            if logged >= limit_bytes:
                notes.append(LogBlock(time=moment, level=logging.WARNING, text=POINTER))
        rows += 1
    moment = backlog.rows[0][1]
    blocks = [_block(stream, parts, moment) for stream, parts in streams.items() if parts]
    return Turn(blocks=(*blocks, *notes), rows=rows, logged_bytes=logged)


def _size(parts: Sequence[bytes]) -> int:
    return sum(len(part) for part in parts)


def _block(stream: str, parts: Sequence[bytes], moment: datetime) -> LogBlock:
    text = codecs.decode(b"".join(parts), "utf-8", "replace")
    return LogBlock(time=moment, level=LEVELS[stream], text=text)
