"""The mirror's books: what Prefect has been told, and which rows have changed since. Blocking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, exists, func, insert, or_, select, true, update

from batchd_api.db.session import Database
from batchd_api.db.tables import (
    IS_ALIVE,
    IS_GONE,
    IS_LIVE,
    NOTE,
    attempts,
    flow_runs,
    installation,
    jobs,
    output,
    queues,
)
from batchd_api.reconcile import AttemptView, RowView, RunView
from batchd_api.statuses import AttemptState, JobStatus
from batchd_api.world_jobs import reason_of

LOOK_AHEAD = 300  # jobs that stand in a queue's line first: those have runs in Prefect
ENDS = (JobStatus.DONE, JobStatus.FAILED)
AHEAD = (JobStatus.NEW, JobStatus.POSTPONED)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One job as the mirror needs it: its row, its runs, and what they are called."""

    row: RowView
    runs: Sequence[RunView]
    version: int
    type_name: str
    user_name: str
    host_name: str | None
    params: Mapping[str, str]
    create_time: datetime


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """What a queue's work pool shows."""

    name: str
    title: str
    enabled: bool
    schedule_name: str
    max_jobs: int | None


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Output of one attempt that its Prefect log lacks. `rows`: output id, time, stream, bytes."""

    attempt_id: int
    run_id: str
    logged_bytes: int
    rows: Sequence[tuple[int, datetime, str, bytes]]


@dataclass(frozen=True, kw_only=True)
class LiveRun:
    """A run that should be live in Prefect, and what it is called there."""

    name: str
    run: RunView


class Books:
    """Reads what is due and notes what was written."""

    def __init__(self, database: Database, dispatcher: str | None = None, *, ahead: int = LOOK_AHEAD) -> None:
        """`dispatcher`: whose attempts' output is ours to send; None: everybody's. `ahead`: jobs a queue."""
        self._database = database
        self._ahead_count = ahead
        self._dispatcher = dispatcher

    def installation_id(self) -> str:
        with self._database.read() as connection:
            return str(connection.execute(select(installation.c.id)).scalar_one())

    def queues(self) -> list[QueueEntry]:
        names = ("name", "title", "enabled", "schedule_name", "max_jobs")
        query = select(*(queues.c[name] for name in names)).order_by(queues.c.name)
        with self._database.read() as connection:
            return [QueueEntry(**row) for row in connection.execute(query).mappings()]

    def due(self, limit: int, without: Collection[int] = (), *, urgent_first: bool = False) -> list[int]:
        """Jobs whose runs do not show their rows: ends first, then what runs, then what waits, by `seq`.

        `urgent_first`: what waits only where nothing else is due; it is looked for at a price.
        """
        changed = jobs.c.version != jobs.c.mirrored
        found: list[int] = []
        with self._database.read() as connection:
            for statuses in (ENDS, (JobStatus.PROCESSING, JobStatus.WAITING)):
                query = select(jobs.c.id).where(changed, jobs.c.status.in_(statuses)).order_by(jobs.c.id)
                found += connection.execute(query.limit(limit + len(without))).scalars()
            found = [job_id for job_id in found if job_id not in without]
            if urgent_first and found:
                return found[:limit]
            names = connection.execute(select(queues.c.name).order_by(queues.c.name)).scalars().all()
            ahead = [self._ahead(connection, name) for name in names]
        # One of each queue in turn, so that a long queue does not hide the others.
        longest = max((len(ids) for ids in ahead), default=0)
        in_turn = [ids[place] for place in range(longest) for ids in ahead if place < len(ids)]
        return [*found, *(job_id for job_id in in_turn if job_id not in without)][:limit]

    def _ahead(self, connection: Connection, queue_name: str) -> list[int]:
        """Of those that stand in line first, the ones due. A query a status, so that each reads one index."""
        line: list[tuple[int, int, bool]] = []
        for status in AHEAD:
            query = (
                select(jobs.c.seq, jobs.c.id, jobs.c.version != jobs.c.mirrored)
                .where(jobs.c.queue_name == queue_name, jobs.c.status == status)
                .order_by(jobs.c.seq)
                .limit(self._ahead_count)
            )
            line += [(seq, job_id, bool(is_due)) for seq, job_id, is_due in connection.execute(query)]
        return [job_id for _, job_id, is_due in sorted(line)[: self._ahead_count] if is_due]

    def entry(self, job_id: int) -> Entry | None:
        """One job, whole; None when it has been deleted."""
        return next(iter(self.entries([job_id])), None)

    def entries(self, job_ids: Sequence[int]) -> list[Entry]:
        """Those that are there, whole, in this order."""
        tries, runs = defaultdict[int, list[RowMapping]](list), defaultdict[int, list[RowMapping]](list)
        with self._database.read() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.id.in_(job_ids))).mappings().all()
            mine = select(attempts).where(attempts.c.job_id.in_(job_ids)).order_by(attempts.c.number)
            for attempt in connection.execute(mine).mappings():
                tries[attempt["job_id"]].append(attempt)
            shown = select(flow_runs).where(flow_runs.c.job_id.in_(job_ids))
            shown = shown.order_by(flow_runs.c.attempt, flow_runs.c.number)
            for run in connection.execute(shown).mappings():
                runs[run["job_id"]].append(run)
        by_id = {row["id"]: _entry(row, tries[row["id"]], runs[row["id"]]) for row in rows}
        return [by_id[job_id] for job_id in job_ids if job_id in by_id]

    def entry_of_run(self, run_id: str) -> Entry | None:
        """The job that a run belongs to; None for a run that is no (living) job's."""
        query = select(flow_runs.c.job_id).where(flow_runs.c.id == run_id, ~flow_runs.c.gone)
        with self._database.read() as connection:
            job_id = connection.execute(query).scalar_one_or_none()
        return None if job_id is None else self.entry(job_id)

    def live_runs(self) -> dict[str, LiveRun]:
        """The runs that should be live in Prefect, by their ids."""
        query = select(flow_runs).where(~flow_runs.c.gone, IS_LIVE)
        with self._database.read() as connection:
            return {
                row["id"]: LiveRun(name=row["name"], run=_run_view(row))
                for row in connection.execute(query).mappings()
            }

    def going(self) -> set[str]:
        """The runs that are to be removed."""
        with self._database.read() as connection:
            return set(connection.execute(select(flow_runs.c.id).where(IS_GONE)).scalars())

    def gone(self, limit: int) -> list[str]:
        """Runs to be removed whose process tree has ended."""
        alive = exists().where(attempts.c.job_id == flow_runs.c.job_id, IS_ALIVE)
        query = select(flow_runs.c.id).where(IS_GONE, ~alive).limit(limit)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def note_created(self, run: RunView, job_id: int, name: str) -> None:
        """A run exists. If its job has gone meanwhile, the run is due to be removed."""
        values = {"id": run.id, "job_id": job_id, "attempt": run.attempt, "number": run.number, "name": name}
        with self._database.write() as connection:
            there = connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is not None
            connection.execute(delete(flow_runs).where(flow_runs.c.id == run.id))
            connection.execute(
                insert(flow_runs).values(**values, queue_name=run.queue_name, shown=run.shown, gone=not there)
            )

    def note_shown(self, run_id: str, shown: str, level: tuple[int, int] | None = None) -> None:
        """`level`: the job and the version that Prefect shows with that, whole."""
        self.note_all_shown({run_id: shown}, () if level is None else (level,))

    def note_all_shown(self, shown: Mapping[str, str], levels: Collection[tuple[int, int]]) -> None:
        """By run, and the jobs whose versions are shown with that."""
        with self._database.write() as connection:
            for run_id, state in shown.items():
                connection.execute(update(flow_runs).where(flow_runs.c.id == run_id).values(shown=state))
            for level in levels:
                _note_mirrored(connection, *level)

    def note_removed(self, run_id: str, level: tuple[int, int] | None = None) -> None:
        with self._database.write() as connection:
            connection.execute(delete(flow_runs).where(flow_runs.c.id == run_id))
            if level is not None:
                _note_mirrored(connection, *level)

    def note_mirrored(self, job_id: int, version: int) -> None:
        """Prefect shows this version; a later one stays due."""
        with self._database.write() as connection:
            _note_mirrored(connection, job_id, version)

    def unlogged(self) -> list[int]:
        """Attempts with output that their Prefect log lacks: asked once, at start."""
        newest = select(func.max(output.c.id)).where(
            output.c.job_id == attempts.c.job_id, output.c.attempt == attempts.c.number
        )
        query = select(attempts.c.id).where(attempts.c.logged_output_id < newest.scalar_subquery())
        if self._dispatcher is not None:
            query = query.where(attempts.c.dispatcher == self._dispatcher)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def backlog(self, attempt_id: int, limit: int, limit_bytes: int) -> Backlog | None:
        """The next rows for its Prefect log; None when there are none or the run does not exist.

        Once `limit_bytes` are in it, only what we have to say about the output.
        """
        with self._database.read() as connection:
            row = connection.execute(_backlog_head(attempt_id)).mappings().first()
            if row is None:
                return None
            query = (
                select(output.c.id, output.c.time, output.c.stream, output.c.data)
                .where(
                    output.c.job_id == row["job_id"],
                    output.c.attempt == row["number"],
                    output.c.id > row["logged_output_id"],
                    output.c.stream == NOTE if row["logged_bytes"] >= limit_bytes else true(),
                )
                .order_by(output.c.id)
                .limit(limit)
            )
            rows = [(r.id, r.time, r.stream, r.data) for r in connection.execute(query)]
        if not rows:
            return None
        return Backlog(
            attempt_id=attempt_id, run_id=row["run_id"], logged_bytes=row["logged_bytes"], rows=rows
        )

    def note_logged(self, attempt_id: int, last_output_id: int, logged_bytes: int) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(attempts)
                .where(attempts.c.id == attempt_id)
                .values(logged_output_id=last_output_id, logged_bytes=logged_bytes)
            )


def _note_mirrored(connection: Connection, job_id: int, version: int) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(mirrored=version))


def _backlog_head(attempt_id: int) -> Any:
    return (
        select(
            attempts.c.job_id,
            attempts.c.number,
            attempts.c.logged_output_id,
            attempts.c.logged_bytes,
            flow_runs.c.id.label("run_id"),
        )
        .join_from(
            attempts,
            flow_runs,
            and_(flow_runs.c.job_id == attempts.c.job_id, flow_runs.c.attempt == attempts.c.number),
        )
        .where(attempts.c.id == attempt_id, or_(flow_runs.c.gone.is_(None), ~flow_runs.c.gone))
        .order_by(flow_runs.c.number.desc())
        .limit(1)
    )


def _entry(row: RowMapping, tries: Sequence[RowMapping], runs: Sequence[RowMapping]) -> Entry:
    return Entry(
        row=RowView(
            job_id=row["id"],
            queue_name=row["queue_name"],
            status=JobStatus(row["status"]),
            attempt=row["attempt"],
            reason=reason_of(row),
            attempts=[_attempt_view(attempt) for attempt in tries],
        ),
        runs=[_run_view(run) for run in runs],
        version=row["version"],
        type_name=row["type_name"],
        user_name=row["user_name"],
        host_name=row["host_name"],
        params=row["params"],
        create_time=row["create_time"],
    )


def _run_view(row: RowMapping) -> RunView:
    return RunView(**{name: row[name] for name in ("id", "attempt", "number", "queue_name", "shown")})


def _attempt_view(row: RowMapping) -> AttemptView:
    return AttemptView(
        number=row["number"],
        state=AttemptState(row["state"]),
        exit_code=row["exit_code"],
        reason=row["reason"],
        cancelled_by=row["cancelled_by"],
    )
