"""What came of the jobs: read from the database and from the witness file, never asked of the daemon."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs, output

OVERLAP = "overlap"


def witness_script(file: Path, between: str = "") -> str:
    """A job that says in a file when it starts and ends, and whether another execution of it still lives.

    The lock is held by the whole tree, so it also tells what a killed execution has left behind.
    """
    said = shlex.quote(str(file))
    return (
        f'say() {{ echo "$1 $BATCHD_JOB_ID $BATCHD_ATTEMPT" >> {said}; sync {said}; }}; '
        f"exec 9>> {said}.$BATCHD_JOB_ID; flock -n 9 || say {OVERLAP}; "
        f"say start; {between or ':'}; say end"
    )


class Records:
    """An installation's rows and its witness."""

    database: Database
    folder: Path

    @property
    def witness_file(self) -> Path:
        return self.folder / "witness"

    def rows(self, query: Select[Any]) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(query))

    def job(self, job_id: int) -> Any:
        return self.rows(select(jobs).where(jobs.c.id == job_id))[0]

    def attempts(self, job_id: int) -> list[Any]:
        return self.rows(select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number))

    def runs(self, job_id: int) -> list[Any]:
        query = select(flow_runs).where(flow_runs.c.job_id == job_id)
        return self.rows(query.order_by(flow_runs.c.attempt, flow_runs.c.number))

    def output(self, job_id: int) -> bytes:
        query = select(output.c.data).where(output.c.job_id == job_id).order_by(output.c.id)
        return b"".join(row.data for row in self.rows(query))

    def testimony(self) -> list[tuple[str, int, int]]:
        """(start, end or overlap; job; attempt), in the order of time."""
        file = self.witness_file
        lines = file.read_text().splitlines() if file.exists() else []
        words = [line.split() for line in lines]
        return [(what, int(job), int(attempt)) for what, job, attempt in words]

    def witnessed(self) -> list[tuple[str, int]]:
        """(start or end, job), in the order of time."""
        return [(what, job) for what, job, _ in self.testimony() if what != OVERLAP]

    def starts(self, job_id: int | None = None) -> list[int]:
        return [job for what, job in self.witnessed() if what == "start" and job_id in (None, job)]

    def most_at_once(self, *job_ids: int) -> int:
        """Of these jobs, else of all."""
        now = most = 0
        for what, job in self.witnessed():
            if not job_ids or job in job_ids:
                now += 1 if what == "start" else -1
                most = max(most, now)
        return most

    def statuses(self, job_ids: Collection[int]) -> dict[int, str]:
        rows = self.rows(select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(job_ids)))
        return {row.id: row.status for row in rows}
