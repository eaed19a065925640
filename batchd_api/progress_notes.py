"""The progress of running attempts: read from their output as it passes, and written down."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, jobs
from batchd_api.errors import DatabaseFull, DatabaseUnavailable
from batchd_api.recorder import Attempt
from batchd_flows.job_types import JobTypes
from batchd_flows.progress import Progress, ProgressPattern, ProgressReader
from batchd_flows.run import Chunk

WRITE_SECONDS = 1.0


class ProgressNotes:
    """Blocking."""

    def __init__(self, database: Database, job_types: JobTypes) -> None:
        self._database = database
        self._job_types = job_types

    def of(self, attempt: Attempt) -> AttemptProgress | None:
        """None where the job's type does not say how its output tells progress."""
        query = select(jobs.c.type_name).where(jobs.c.id == attempt.job_id)
        with self._database.read() as connection:
            name: str = connection.execute(query).scalar() or ""
        pattern = self._job_types.get(name).progress if name in self._job_types else None
        if pattern is None:
            return None
        return AttemptProgress(self._database, attempt, ProgressReader(ProgressPattern(pattern)))


class AttemptProgress:
    """Writes at most once a second. What came within that second is left for a `write` soon after."""

    def __init__(self, database: Database, attempt: Attempt, reader: ProgressReader) -> None:
        self._database = database
        self._attempt = attempt
        self._reader = reader
        self._unwritten: Progress | None = None
        self._written_at = float("-inf")
        self._guard = threading.Lock()

    @property
    def is_unwritten(self) -> bool:
        return self._unwritten is not None

    def read(self, chunks: Sequence[Chunk]) -> None:
        """A database that is away is no error here: the same output must not be read twice."""
        with self._guard:
            for chunk in chunks:
                self._unwritten = self._reader.feed(chunk.stream, chunk.data, chunk.time) or self._unwritten
            if time.monotonic() - self._written_at >= WRITE_SECONDS:
                with suppress(DatabaseUnavailable, DatabaseFull):
                    self._write()

    def write(self) -> None:
        """Whatever is left."""
        with self._guard:
            self._write()

    def _write(self) -> None:
        progress = self._unwritten
        if progress is None:
            return
        self._written_at = time.monotonic()
        with self._database.write() as connection:
            connection.execute(
                update(attempts)
                .where(attempts.c.id == self._attempt.id, attempts.c.token == self._attempt.token, IS_ALIVE)
                .values(
                    progress_percent=progress.percent,
                    progress_text=progress.text,
                    progress_at=progress.at,
                    progress_eta=progress.eta,
                )
            )
        self._unwritten = None
