"""Retention: finished jobs go, with their attempts and output, some days after their end. Blocking.

Only what has ended is ever looked at, and its end counts, not its enqueue: a job may wait or run for weeks.
Small transactions, so that whoever writes meanwhile waits for milliseconds. A job's flow runs are marked, and
go from Prefect through the mirror.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, delete, exists, func, select

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, jobs, metric_dumps, metric_shapes, output
from batchd_api.services.deletion import delete_jobs
from batchd_api.statuses import AttemptState, JobStatus
from batchd_flows.limits import KILL_AFTER_SECONDS
from batchd_flows.local_machine import LocalMachine
from batchd_flows.supervisor import RunState
from batchd_flows.user_launch import remove_aside

log = logging.getLogger("batchd.retention")

ENDS = (JobStatus.DONE, JobStatus.FAILED)
BY = "retention"
OUTPUT_ROWS_AT_ONCE = 100  # of at most 64 KiB
PAGES_AT_ONCE = 1000  # 4 MB: a fifth of a second on a slow disk
SPARE_PART = 10  # one page in so many may stay unused, for what is written next
DUMPS_AT_ONCE = 500
# From such an age on, one record of such a time is enough: a year of them stays small.
THINNER = ((timedelta(days=3), timedelta(minutes=1)), (timedelta(days=30), timedelta(minutes=10)))
THIN_SPAN = timedelta(days=3)  # what came of age within this time, a weekend's rest included

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_ATTEMPT_FOLDER = re.compile(r"\d+\.\d+")


class Retention:
    """`done_jobs_days`: 0 keeps everything."""

    def __init__(self, database: Database, done_jobs_days: float) -> None:
        self._database = database
        self._done_jobs_days = done_jobs_days

    def sweep(self, now: datetime, limit: int = 50) -> int:
        """Remove at most `limit` jobs whose time is over, oldest end first. Returns how many went.

        Call again at once while it returns `limit`. Stopped anywhere, the next call goes on.
        """
        if not self._done_jobs_days:
            return 0
        try:
            over = _ended_before(now - timedelta(days=self._done_jobs_days))
        except OverflowError:  # for longer than there has been a calendar
            return 0
        with self._database.read() as connection:
            query = select(jobs.c.id).where(*over).order_by(jobs.c.end_time, jobs.c.id).limit(limit)
            ids = list(connection.execute(query).scalars())
        if not ids:
            return 0
        while self._remove_output(ids, over):
            pass
        with self._database.write() as connection:
            return delete_jobs(connection, jobs.c.id.in_(ids), *over, by=BY, now=now)

    def shrink(self) -> bool:
        """Return one step's worth of a SQLite file's unused pages to the disk; whether more is left."""
        if not self._database.is_sqlite or not self._unused_pages():
            return False
        before = self._unused_pages()
        self._database.give_back(PAGES_AT_ONCE)
        left = self._unused_pages()
        return 0 < left < before  # no less: a file of before this version cannot shrink, only be filled again

    def _remove_output(self, ids: Sequence[int], over: Sequence[ColumnElement[bool]]) -> bool:
        """One step. The jobs are asked for again: one may have been set to New since."""
        still = select(jobs.c.id).where(jobs.c.id.in_(ids), *over)
        step = select(output.c.id).where(output.c.job_id.in_(still)).limit(OUTPUT_ROWS_AT_ONCE)
        with self._database.write() as connection:
            removed = connection.execute(delete(output).where(output.c.id.in_(step)))
        return removed.rowcount == OUTPUT_ROWS_AT_ONCE

    def _unused_pages(self) -> int:
        """Those above what may be spare; 0 while they are few."""
        with self._database.read() as connection:
            unused, all_pages = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("freelist_count", "page_count")
            )
        return unused if unused * SPARE_PART > all_pages else 0


def remove_leftovers(attempts_folder: Path, living: Callable[[], Collection[str]]) -> int:
    """Remove the folders of attempts that have ended. Returns how many.

    `living` names those that have not. It is asked after the folders are listed: an attempt is written down
    before its folder is made, so that a new one is never taken for a leftover. What still runs there was
    given up while nobody watched it: it is ended first, and removed at a later look.
    """
    machine = LocalMachine()
    found = [path for path in attempts_folder.iterdir() if _ATTEMPT_FOLDER.fullmatch(path.name)]
    kept = set(living()) if found else set()
    leftovers = [path for path in found if path.name not in kept and path.is_dir() and not path.is_symlink()]
    for path in leftovers:
        if machine.status(path).state is RunState.RUNNING:
            log.warning("attempt %s was given up and still runs: it is ended", path.name)
            machine.cancel(path, grace_seconds=KILL_AFTER_SECONDS)
            continue
        remove_aside(path)
        shutil.rmtree(path, ignore_errors=True)
    return sum(not path.exists() for path in leftovers)


def living_folders(database: Database) -> set[str]:
    """The folder names of all attempts that have not ended, whichever dispatcher's."""
    query = select(attempts.c.job_id, attempts.c.number).where(attempts.c.state != AttemptState.ENDED)
    with database.read() as connection:
        return {f"{job_id}.{number}" for job_id, number in connection.execute(query)}


def _ended_before(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    """With its whole process tree: an attempt is alive until that is gone."""
    alive = exists().where(attempts.c.job_id == jobs.c.id, attempts.c.state != AttemptState.ENDED)
    status = func.coalesce(
        jobs.c.status, ""
    )  # the plain column leads SQLite to an index of all that has ended
    return (status.in_(ENDS), jobs.c.end_time < moment, ~alive)


class MetricRetention:
    """Stored metrics go after their days; what is kept for longer than three gets thinner with age.

    `metric_records_days`: 0 keeps everything.
    """

    def __init__(self, database: Database, metric_records_days: float) -> None:
        self._database = database
        self._days = metric_records_days

    def sweep(self, now: datetime) -> bool:
        """One step, some milliseconds long. Returns whether more may be to do."""
        old = self._older_than_kept(now)[:DUMPS_AT_ONCE]
        surplus = (
            old or [n for age, apart in THINNER for n in self._surplus(now - age, apart)][:DUMPS_AT_ONCE]
        )
        used = select(metric_dumps.c.id).where(metric_dumps.c.shape_id == metric_shapes.c.id)
        with self._database.write() as connection:
            connection.execute(delete(metric_dumps).where(metric_dumps.c.id.in_(surplus[:DUMPS_AT_ONCE])))
            if not surplus:
                connection.execute(delete(metric_shapes).where(~used.exists()))
        return bool(surplus)

    def _older_than_kept(self, now: datetime) -> list[int]:
        try:
            end = now - timedelta(days=self._days)
        except OverflowError:  # for longer than there has been a calendar
            return []
        query = select(metric_dumps.c.id).where(metric_dumps.c.time < end).limit(DUMPS_AT_ONCE)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars()) if self._days else []

    def _surplus(self, end: datetime, apart: timedelta) -> list[int]:
        """Those that have come of age lately and lie closer together: of each slot the last one stays."""
        query = (
            select(metric_dumps.c.id, metric_dumps.c.time)
            .where(metric_dumps.c.time >= end - THIN_SPAN, metric_dumps.c.time < end)
            .order_by(metric_dumps.c.time)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        kept = {(row.time - _EPOCH) // apart: row.id for row in rows}
        return [row.id for row in rows if kept[(row.time - _EPOCH) // apart] != row.id]
