"""What the executions of a job wrote: one record a line, and one with the exit code at the end of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from batchd_api.db.tables import NOTE, attempts, jobs, output
from batchd_api.errors import JobNotFound, ResultNotFound
from batchd_api.services.ground import Ground
from batchd_api.statuses import AttemptState
from batchd_api.times import format_time

LINE_LIMIT_BYTES = 64 * 1024
ROWS_AT_ONCE = 64  # of at most 64 KiB each: what one reader holds in memory

Record = dict[str, Any]


@dataclass(kw_only=True)
class _Line:
    """The bytes of a line that has not ended, and when the last of them came."""

    data: bytearray = field(default_factory=bytearray)
    time: datetime | None = None


class Results:
    def __init__(self, ground: Ground) -> None:
        self._database = ground.database

    def all(self, job_id: int) -> Iterator[Record]:
        """Oldest first. Read piece by piece: no transaction is open while a client takes its time."""
        with self._database.read() as connection:
            executions = _executions(connection, job_id)
        return (record for execution in executions for record in self._records(execution))

    def last(self, job_id: int) -> Record:
        """The end of the latest execution that has one, else the line it is at."""
        with self._database.read() as connection:
            executions = _executions(connection, job_id)
            for execution in reversed(executions):
                if execution.state == AttemptState.ENDED:
                    return _exit_record(execution)
                if line := _last_line(connection, execution):
                    return line
        raise ResultNotFound(job_id)

    def _records(self, execution: Any) -> Iterator[Record]:
        open_lines = {"stdout": _Line(), "stderr": _Line()}
        for row in self._rows(execution):
            if row.stream == NOTE:
                yield _record(execution.job_id, row.time, "stderr", row.data.rstrip(b"\n"))
                continue
            line = open_lines[row.stream]
            for text in _cut(line.data, row.data):
                yield _record(execution.job_id, row.time, row.stream, text)
            line.time = row.time
        rest = [(line.time, stream, line.data) for stream, line in open_lines.items() if line.data]
        for time, stream, data in sorted(rest, key=lambda one: str(one[0])):
            yield _record(execution.job_id, time, stream, bytes(data))
        if execution.state == AttemptState.ENDED:
            yield _exit_record(execution)

    def _rows(self, execution: Any) -> Iterator[Any]:
        last_id = 0
        while True:
            query = (
                select(output.c.id, output.c.stream, output.c.time, output.c.data)
                .where(
                    output.c.job_id == execution.job_id,
                    output.c.attempt == execution.number,
                    output.c.id > last_id,
                )
                .order_by(output.c.id)
                .limit(ROWS_AT_ONCE)
            )
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < ROWS_AT_ONCE:
                return
            last_id = rows[-1].id


def _executions(connection: Connection, job_id: int) -> list[Any]:
    if connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is None:
        raise JobNotFound(job_id)
    query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
    return list(connection.execute(query))


def _cut(open_line: bytearray, data: bytes) -> Iterator[bytes]:
    """The lines that `data` completes; what is left stays in `open_line`."""
    open_line += data
    start = 0
    while True:
        end = open_line.find(b"\n", start)
        stop = end if end >= 0 else len(open_line)
        while stop - start > LINE_LIMIT_BYTES:
            cut = _before_character(open_line, start + LINE_LIMIT_BYTES)
            yield bytes(open_line[start:cut])
            start = cut
        if end < 0:
            break
        yield bytes(open_line[start:end])
        start = end + 1
    del open_line[:start]


def _before_character(data: bytearray, position: int) -> int:
    """The nearest place before `position` that does not lie within a UTF-8 sequence."""
    for place in range(position, position - 4, -1):
        if data[place] & 0xC0 != 0x80:
            return place
    return position


def _last_line(connection: Connection, execution: Any) -> Record | None:
    query = (
        select(output.c.stream, output.c.time, output.c.data)
        .where(
            output.c.job_id == execution.job_id,
            output.c.attempt == execution.number,
            output.c.stream != NOTE,
        )
        .order_by(output.c.id.desc())
    )
    newest = connection.execute(query.limit(1)).first()
    if newest is None:
        return None
    data = b""
    for row in connection.execute(query.where(output.c.stream == newest.stream).limit(ROWS_AT_ONCE)):
        data = row.data + data
        if b"\n" in data.rstrip(b"\n") or len(data) > LINE_LIMIT_BYTES:
            break
    line = data.removesuffix(b"\n").rpartition(b"\n")[2]
    return _record(execution.job_id, newest.time, newest.stream, line[-LINE_LIMIT_BYTES:])


def _record(job_id: int, time: datetime | None, stream: str, line: bytes) -> Record:
    record: Record = {
        "job_id": job_id,
        "time": format_time(time),
        "exit_code": None,
        "stdout": "",
        "stderr": "",
    }
    record[stream] = line.decode("utf-8", errors="replace")
    return record


def _exit_record(execution: Any) -> Record:
    return {
        "job_id": execution.job_id,
        "time": format_time(execution.ended_at or execution.started_at or execution.taken_at),
        "exit_code": execution.exit_code,
        "stdout": "",
        "stderr": "",
    }
