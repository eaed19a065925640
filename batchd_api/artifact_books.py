"""What stands beside the runs in Prefect, and what should: the books of their artifacts. Blocking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, artifacts, attempts, flow_runs, jobs
from batchd_api.services.expected_ends import usual_of
from batchd_api.services.last_lines import last_lines
from batchd_api.services.run_times import usual_seconds
from batchd_api.statuses import AttemptState

PROGRESS, RESULT = "progress", "result"
LOOK_BACK = timedelta(hours=1)  # for results that a process before this one has not shown

_OF_ITS_RUN = and_(flow_runs.c.job_id == attempts.c.job_id, flow_runs.c.attempt == attempts.c.number)


@dataclass(frozen=True, kw_only=True)
class ProgressDue:
    """`artifact_id` None: there is none yet."""

    run_id: str
    artifact_id: str | None
    percent: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one execution ended. `usual_seconds` None: nothing is known of its type's past."""

    job_id: int
    type_name: str
    queue_name: str
    host_name: str | None
    exit_code: int | None
    reason: str | None
    seconds: float | None
    usual_seconds: float | None
    number: int
    output: str
    percent: float | None
    progress_id: str | None


class ArtifactBooks:
    def __init__(self, database: Database) -> None:
        self._database = database

    def progress_due(self) -> list[ProgressDue]:
        """Of living executions, what they have said since it was shown."""
        query = (
            select(flow_runs.c.id, artifacts.c.id.label("artifact_id"), artifacts.c.shown_percent,
                   attempts.c.progress_percent, attempts.c.progress_text)
            .join_from(attempts, flow_runs, _OF_ITS_RUN)
            .join(artifacts, _artifact(PROGRESS), isouter=True)
            .where(IS_ALIVE, attempts.c.progress_percent.is_not(None), ~flow_runs.c.gone)
        )  # fmt: skip
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            ProgressDue(
                run_id=row.id,
                artifact_id=row.artifact_id,
                percent=row.progress_percent,
                text=row.progress_text or "",
            )
            for row in rows
            if row.shown_percent != row.progress_percent
        ]

    def result(self, run_id: str) -> Result | None:
        """None: it has one already, or there is nothing to tell (any more)."""
        query = (
            select(attempts, jobs.c.type_name, jobs.c.queue_name.label("in_queue"))
            .join_from(flow_runs, attempts, _OF_ITS_RUN)
            .join(jobs, jobs.c.id == attempts.c.job_id)
            .where(flow_runs.c.id == run_id, attempts.c.state == AttemptState.ENDED, ~flow_runs.c.gone)
        )
        with self._database.read() as connection:
            shown = select(artifacts.c.kind, artifacts.c.id).where(artifacts.c.flow_run_id == run_id)
            there = {row.kind: row.id for row in connection.execute(shown)}
            row = connection.execute(query).mappings().one_or_none()
            if row is None or RESULT in there:
                return None
            started, ended = row["started_at"], row["ended_at"]
            usual = usual_of(usual_seconds(connection), row["type_name"], row["host_name"])
            return Result(
                job_id=row["job_id"],
                type_name=row["type_name"],
                queue_name=row["in_queue"],
                host_name=row["host_name"],
                exit_code=row["exit_code"],
                reason=row["reason"],
                seconds=(ended - started).total_seconds() if started and ended else None,
                usual_seconds=usual,
                number=row["number"],
                output=last_lines(connection, row["job_id"], row["number"]),
                percent=row["progress_percent"],
                progress_id=there.get(PROGRESS),
            )

    def without_result(self, now: datetime, limit: int) -> list[str]:
        """Runs that ended lately; asked once, at start."""
        shown = exists().where(artifacts.c.flow_run_id == flow_runs.c.id, artifacts.c.kind == RESULT)
        query = (
            select(flow_runs.c.id)
            .join_from(attempts, flow_runs, _OF_ITS_RUN)
            .where(attempts.c.ended_at > now - LOOK_BACK, ~flow_runs.c.gone, ~shown)
            .order_by(attempts.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def note(self, artifact_id: str, run_id: str, kind: str, percent: float | None, now: datetime) -> None:
        shown = {"shown_percent": percent, "shown_at": now}
        mine = update(artifacts).where(artifacts.c.id == artifact_id)
        with self._database.write() as connection:
            if not connection.execute(mine.values(shown)).rowcount:
                new = insert(artifacts).values(id=artifact_id, flow_run_id=run_id, kind=kind)
                connection.execute(new.values(shown))

    def of_run(self, run_id: str) -> Sequence[str]:
        with self._database.read() as connection:
            query = select(artifacts.c.id).where(artifacts.c.flow_run_id == run_id)
            return connection.execute(query).scalars().all()

    def orphans(self, limit: int) -> Sequence[str]:
        """Of runs that a person has deleted: Prefect keeps a run's artifacts."""
        alone = ~exists().where(flow_runs.c.id == artifacts.c.flow_run_id)
        with self._database.read() as connection:
            return connection.execute(select(artifacts.c.id).where(alone).limit(limit)).scalars().all()

    def forget(self, artifact_id: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(artifacts).where(artifacts.c.id == artifact_id))


def _artifact(kind: str) -> ColumnElement[bool]:
    return and_(artifacts.c.flow_run_id == flow_runs.c.id, artifacts.c.kind == kind)
