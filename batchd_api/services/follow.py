"""A job followed: its output and its status as events, from any event on. Blocking, a short look each."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, select

from batchd_api.db.tables import IS_ALIVE, NOTE, attempts, jobs, output
from batchd_api.errors import TooManyListeners
from batchd_api.services.ground import Ground
from batchd_api.services.reasons import reasons_of
from batchd_api.statuses import JobStatus

ROWS_AT_ONCE = 16
MAX_LISTENERS = 200
STATUS_AGAIN = timedelta(seconds=5)  # a place in the queue changes with other jobs' rows

_ID = re.compile(r"(\d{1,18})-([0-3])-([0-3])", re.ASCII)
_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Event:
    """`id` is what a client sends as Last-Event-ID to go on behind this event."""

    kind: str
    data: dict[str, Any]
    id: str


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Text of a stream, and the offset in bytes at which it begins."""

    attempt: int
    offset: int
    text: str


@dataclass(kw_only=True)
class _Open:
    """A stream of the attempt that is being read; `pending` begins a character that is not whole yet, and
    `offset` is where it begins."""

    attempt: int = 0
    pending: bytes = b""
    offset: int = 0

    def pieces(self, row: Any) -> Iterator[Piece]:
        """What is whole with this row; first what another attempt has left."""
        if row.attempt != self.attempt:
            yield from self.rest()
            self.attempt, self.offset = row.attempt, row.offset
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        data = self.pending + row.data
        text, begin = decoder.decode(data), self.offset
        self.pending = decoder.getstate()[0]
        self.offset = begin + len(data) - len(self.pending)
        if text:
            yield Piece(attempt=self.attempt, offset=begin, text=text)

    def rest(self) -> Iterator[Piece]:
        """What will never become a whole character."""
        if self.pending:
            text, begin = self.pending.decode("utf-8", "replace"), self.offset
            self.pending, self.offset = b"", begin + len(self.pending)
            yield Piece(attempt=self.attempt, offset=begin, text=text)


@dataclass(kw_only=True)
class Place:
    """How far a listener has come."""

    row_id: int = 0
    open: dict[str, _Open] = field(default_factory=lambda: {stream: _Open() for stream in _STREAMS})
    status: dict[str, Any] | None = None
    ended: bool = False
    seen: tuple[object, ...] | None = None
    status_again: datetime | None = None

    @property
    def event_id(self) -> str:
        return "-".join(str(n) for n in (self.row_id, *(len(self.open[s].pending) for s in _STREAMS)))


class Follower:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._listeners = 0

    def enter(self) -> None:
        """One more listener; from the event loop, as `leave`, which must follow."""
        if self._listeners >= MAX_LISTENERS:
            raise TooManyListeners(MAX_LISTENERS)
        self._listeners += 1

    def leave(self) -> None:
        self._listeners -= 1

    def place(self, job_id: int, last_event_id: str | None) -> Place:
        """Behind that event; anything else begins at the beginning."""
        match = _ID.fullmatch(last_event_id or "")
        if match is None:
            return Place()
        place = Place(row_id=int(match[1]))
        with self._ground.database.read() as connection:
            for stream, length in zip(_STREAMS, match.groups()[1:], strict=True):
                if int(length):
                    place.open[stream] = _reopened(connection, job_id, stream, place.row_id, int(length))
        return place

    def look(self, job_id: int, place: Place) -> list[Event]:
        """What came since; moves `place`. More may be there at once where output came."""
        now = self._ground.clock()
        with self._ground.database.read() as connection:
            job = _job(connection, job_id)
            seen = None if job is None else _mark(job)
            if job is not None and seen == place.seen and place.status_again and now < place.status_again:
                return []
            rows = _rows(connection, job_id, place.row_id) if job is not None else []
            is_all = len(rows) < ROWS_AT_ONCE
            status = self._status(connection, job) if job is not None and is_all else None
            is_over = job is None or (_is_final(job) and not _is_alive(connection, job_id))
        if is_all:
            place.seen, place.status_again = seen, now + STATUS_AGAIN
        events = list(_outputs(place, rows))
        if is_over and is_all:
            events += _rests(place)
        if status is not None and status != place.status:
            place.status = status
            events.append(Event(kind="status", data=status, id=place.event_id))
        if is_over and is_all:
            place.ended = True
            events.append(Event(kind="end", data={}, id=place.event_id))
        return events

    def _status(self, connection: Connection, job: Any) -> dict[str, Any]:
        return {
            "status": job["status"],
            "attempt": job["attempt"],
            "exit_code": job["exit_code"],
            "reason": reasons_of(self._ground, connection, [job]).get(job["id"]),
        }


def _outputs(place: Place, rows: list[Any]) -> Iterator[Event]:
    for row in rows:
        if row.stream == NOTE:
            place.row_id = row.id
            said = {"attempt": row.attempt, "text": row.data.decode()}
            yield Event(kind="note", data=said, id=place.event_id)
            continue
        pieces = list(place.open[row.stream].pieces(row))
        place.row_id = row.id
        yield from (_output(place, row.stream, piece) for piece in pieces)


def _rests(place: Place) -> Iterator[Event]:
    for stream, opened in place.open.items():
        yield from (_output(place, stream, piece) for piece in opened.rest())


def _output(place: Place, stream: str, piece: Piece) -> Event:
    return Event(kind="output", data={"stream": stream, **asdict(piece)}, id=place.event_id)


def _job(connection: Connection, job_id: int) -> Any:
    latest = and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt)
    query = (
        select(
            jobs,
            attempts.c.exit_code,
            attempts.c.state,
            attempts.c.stdout_bytes,
            attempts.c.stderr_bytes,
        )
        .join_from(jobs, attempts, latest, isouter=True)
        .where(jobs.c.id == job_id)
    )
    return connection.execute(query).mappings().one_or_none()


def _mark(job: Any) -> tuple[object, ...]:
    """What changes with all that makes events, but for a job's place in its queue."""
    return tuple(
        job[key] for key in ("version", "status", "attempt", "state", "stdout_bytes", "stderr_bytes")
    )


def _rows(connection: Connection, job_id: int, last_id: int) -> list[Any]:
    query = select(output).where(output.c.job_id == job_id, output.c.id > last_id)
    return list(connection.execute(query.order_by(output.c.attempt, output.c.id).limit(ROWS_AT_ONCE)))


def _reopened(connection: Connection, job_id: int, stream: str, row_id: int, length: int) -> _Open:
    """The rows of a stream may be as short as a byte: what is pending lies in the last few of them."""
    query = select(output.c.attempt, output.c.offset, output.c.data).where(
        output.c.job_id == job_id, output.c.stream == stream, output.c.id <= row_id
    )
    newest = query.order_by(output.c.attempt.desc(), output.c.id.desc()).limit(length)
    rows = list(connection.execute(newest))
    if not rows:
        return _Open()
    data = b"".join(row.data for row in reversed(rows) if row.attempt == rows[0].attempt)[-length:]
    end = rows[0].offset + len(rows[0].data)
    return _Open(attempt=rows[0].attempt, pending=data, offset=end - len(data))


def _is_final(job: Any) -> bool:
    return JobStatus(job["status"]).is_final


def _is_alive(connection: Connection, job_id: int) -> bool:
    query = select(attempts.c.id).where(attempts.c.job_id == job_id, IS_ALIVE)
    return connection.execute(query.limit(1)).first() is not None
