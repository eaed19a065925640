"""A job followed: its output and its status as events, from any event on. Blocking, a short look each."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from batchd_api.db.tables import IS_ALIVE, attempts, jobs, output
from batchd_api.services.ground import Ground
from batchd_api.services.job_records import job_records
from batchd_api.statuses import JobStatus

ROWS_AT_ONCE = 16

_ID = re.compile(r"(\d{1,18})-([0-3])-([0-3])", re.ASCII)
_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Event:
    """`id` is what a client sends as Last-Event-ID to go on behind this event."""

    kind: str
    data: dict[str, Any]
    id: str


@dataclass(kw_only=True)
class _Open:
    """A stream of the attempt that is being read; `pending` begins a character that is not whole yet."""

    attempt: int = 0
    pending: bytes = b""

    def text_of(self, row: Any) -> tuple[int, str]:
        """The offset and the text of what is whole with this row."""
        if row.attempt != self.attempt:
            self.attempt, self.pending = row.attempt, b""
        offset, data = row.offset - len(self.pending), self.pending + row.data
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        self.pending = decoder.getstate()[0]
        return offset, text


@dataclass(kw_only=True)
class Place:
    """How far a listener has come."""

    row_id: int = 0
    open: dict[str, _Open] = field(default_factory=lambda: {stream: _Open() for stream in _STREAMS})
    status: dict[str, Any] | None = None
    ended: bool = False

    @property
    def event_id(self) -> str:
        return "-".join(str(n) for n in (self.row_id, *(len(self.open[s].pending) for s in _STREAMS)))


class Follower:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

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
        with self._ground.database.read() as connection:
            records = job_records(self._ground, connection, jobs.c.id == job_id)
            rows = _rows(connection, job_id, place.row_id) if records else []
            is_over = not records or (_is_final(records[0]) and not _is_alive(connection, job_id))
            attempt = _latest_attempt(connection, job_id) if records else 0
        events = list(_outputs(place, rows))
        is_all = len(rows) < ROWS_AT_ONCE
        if records and is_all:
            events += _status(place, records[0], attempt)
        if is_over and is_all:
            place.ended = True
            events.append(Event(kind="end", data={}, id=place.event_id))
        return events


def _outputs(place: Place, rows: list[Any]) -> Iterator[Event]:
    for row in rows:
        offset, text = place.open[row.stream].text_of(row)
        place.row_id = row.id
        if text:
            data = {"attempt": row.attempt, "stream": row.stream, "offset": offset, "text": text}
            yield Event(kind="output", data=data, id=place.event_id)


def _status(place: Place, record: dict[str, Any], attempt: int) -> list[Event]:
    status = {key: record[key] for key in ("status", "exit_code", "reason")} | {"attempt": attempt}
    if status == place.status:
        return []
    place.status = status
    return [Event(kind="status", data=status, id=place.event_id)]


def _rows(connection: Connection, job_id: int, last_id: int) -> list[Any]:
    query = select(output).where(output.c.job_id == job_id, output.c.id > last_id)
    return list(connection.execute(query.order_by(output.c.attempt, output.c.id).limit(ROWS_AT_ONCE)))


def _reopened(connection: Connection, job_id: int, stream: str, row_id: int, length: int) -> _Open:
    query = select(output.c.attempt, output.c.data).where(
        output.c.job_id == job_id, output.c.stream == stream, output.c.id <= row_id
    )
    row = connection.execute(query.order_by(output.c.attempt.desc(), output.c.id.desc()).limit(1)).first()
    return _Open() if row is None else _Open(attempt=row.attempt, pending=row.data[-length:])


def _latest_attempt(connection: Connection, job_id: int) -> int:
    return int(connection.execute(select(jobs.c.attempt).where(jobs.c.id == job_id)).scalar() or 0)


def _is_final(record: dict[str, Any]) -> bool:
    return JobStatus(record["status"]).is_final


def _is_alive(connection: Connection, job_id: int) -> bool:
    query = select(attempts.c.id).where(attempts.c.job_id == job_id, IS_ALIVE)
    return connection.execute(query.limit(1)).first() is not None
