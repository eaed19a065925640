"""What an execution wrote, byte for byte, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from batchd_api.db.tables import attempts, jobs, output
from batchd_api.errors import JobNotFound, NotFound, ResultNotFound
from batchd_api.queries import OutputWanted
from batchd_api.services.ground import Ground

ROWS_AT_ONCE = 16  # of at most 64 KiB each: what one reader holds in memory
LARGEST_ROW_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class StoredOutput:
    """A stream of an execution, as long as it was when it was asked for."""

    job_id: int
    attempt: int
    stream: str
    size_bytes: int
    is_cut: bool = False  # the command has written more than was kept, to one of its streams


class Outputs:
    def __init__(self, ground: Ground) -> None:
        self._database = ground.database

    def find(self, job_id: int, wanted: OutputWanted) -> StoredOutput:
        with self._database.read() as connection:
            row = _attempt(connection, job_id, wanted.attempt)
        size = row.stdout_bytes if wanted.stream == "stdout" else row.stderr_bytes
        return StoredOutput(
            job_id=job_id,
            attempt=row.number,
            stream=wanted.stream,
            size_bytes=size,
            is_cut=row.output_cut,
        )

    def pieces(self, found: StoredOutput, begin: int, end: int) -> Iterator[bytes]:
        """The bytes from `begin` to before `end`. No transaction is open while a client takes its time."""
        last_id = 0
        while begin < end:
            rows = self._rows(found, begin, last_id)
            if not rows:
                return
            parts = []
            for row in rows:
                part = row.data[max(0, begin - row.offset) : max(0, end - row.offset)]
                begin += len(part)
                parts.append(part)
            last_id = rows[-1].id
            if piece := b"".join(parts):  # one, because each costs the server a change of threads
                yield piece

    def _rows(self, found: StoredOutput, begin: int, last_id: int) -> list[Any]:
        query = (
            select(output.c.id, output.c.offset, output.c.data)
            .where(
                output.c.job_id == found.job_id,
                output.c.attempt == found.attempt,
                output.c.stream == found.stream,
                output.c.id > last_id,
                output.c.offset > begin - LARGEST_ROW_BYTES,
            )
            .order_by(output.c.id)
            .limit(ROWS_AT_ONCE)
        )
        with self._database.read() as connection:
            return list(connection.execute(query))


def _attempt(connection: Connection, job_id: int, number: int | None) -> Any:
    if connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is None:
        raise JobNotFound(job_id)
    query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number.desc()).limit(1)
    row = connection.execute(query if number is None else query.where(attempts.c.number == number)).first()
    if row is None:
        raise ResultNotFound(job_id) if number is None else NotFound("attempt", number)
    return row
