"""The life of an attempt in the database: started, its output, its end and what follows from it.

Whoever reports for an attempt shows its token; a report with an old one is refused, so a dispatcher that was
stopped past its time cannot write over what came after. Blocking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, NOTE, attempts, jobs, output
from batchd_api.errors import BatchdError, QueueNotFound
from batchd_api.outbox import Outbox
from batchd_api.services.job_order import next_seq
from batchd_api.services.queues import lock_queue
from batchd_api.services.run_counts import count_end, count_start
from batchd_api.statuses import AttemptState, JobStatus, Reason
from batchd_flows.job_types import OnFail, RetryWhen
from batchd_flows.run import Chunk, Outcome

CUT_SENTENCE = (
    "[batchd: the output ends here, the job does not: it reached its output_limit, or the disk was full.]\n"
)
CANCELLED = "cancelled"
FAILED = "failed"


class OldToken(BatchdError):
    """Attempt {number} of job {job_id} is not this dispatcher's any more; its report is refused."""

    def __init__(self, job_id: int, number: int) -> None:
        super().__init__(job_id=job_id, number=number)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A living attempt as its dispatcher sees it."""

    id: int
    job_id: int
    number: int
    token: str
    queue_name: str
    host_name: str | None
    state: AttemptState
    stdout_bytes: int
    stderr_bytes: int
    cancel_requested: bool
    work_pool: str | None = None  # of another type: one of its workers runs it

    @property
    def folder_name(self) -> str:
        return f"{self.job_id}.{self.number}"


class Recorder:
    """Writes for one dispatcher's attempts."""

    def __init__(self, database: Database, outbox: Outbox | None = None) -> None:
        self._database = database
        self._outbox = outbox

    def alive(self, dispatcher: str) -> list[Attempt]:
        """This dispatcher's attempts that have not ended, oldest first."""
        query = select(attempts).where(attempts.c.dispatcher == dispatcher, IS_ALIVE)
        with self._database.read() as connection:
            return [_attempt(row) for row in connection.execute(query.order_by(attempts.c.id)).mappings()]

    def fresh(self, attempt_id: int) -> Attempt | None:
        """The attempt as it stands now; None when it has ended."""
        query = select(attempts).where(attempts.c.id == attempt_id, IS_ALIVE)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _attempt(row)

    def request_cancel(self, attempt: Attempt, by: str, now: datetime) -> None:
        """Its end will count as cancelled, whatever `on_fail` says. The first who asked is remembered."""
        with self._database.write() as connection:
            row = _mine(connection, attempt)
            if row["cancel_requested_at"] is None:
                _set_attempt(connection, attempt, cancel_requested_at=now, cancelled_by=by)

    def started(self, attempt: Attempt, at: datetime) -> None:
        """Its command runs. Said again after a re-attachment, it changes nothing."""
        with self._database.write() as connection:
            row = _mine(connection, attempt)
            if row["state"] == AttemptState.RUNNING:
                return
            _set_attempt(connection, attempt, state=AttemptState.RUNNING, started_at=at)
            _set_job(connection, attempt, status=JobStatus.PROCESSING)
            count_start(connection, attempt.job_id, attempt.number, at)

    def add_output(self, attempt: Attempt, chunks: Sequence[Chunk]) -> None:
        """Store what was read, once: bytes that are recorded already (after a crash) are left out."""
        with self._database.write() as connection:
            row = _mine(connection, attempt)
            recorded = {"stdout": row["stdout_bytes"], "stderr": row["stderr_bytes"]}
            rows = []
            for chunk in chunks:
                known = recorded[chunk.stream] - chunk.offset
                if known < len(chunk.data):
                    rows.append(_output_row(attempt, chunk, max(0, known)))
                    recorded[chunk.stream] = chunk.offset + len(chunk.data)
            if rows and _job_exists(connection, attempt.job_id):
                connection.execute(insert(output), rows)
            _set_attempt(
                connection, attempt, stdout_bytes=recorded["stdout"], stderr_bytes=recorded["stderr"]
            )

    def cut(self, attempt: Attempt, now: datetime) -> None:
        """From here on its output is not kept. Said once, where its readers find it."""
        with self._database.write() as connection:
            _note_cut(connection, attempt, _mine(connection, attempt), now)

    def ended(
        self,
        attempt: Attempt,
        outcome: Outcome,
        on_fail: OnFail,
        now: datetime,
        *,
        provided: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        """The tree is gone: the slot is free, the job is Done, Failed, or New again as `on_fail` says.

        `provided` raises where that must not be written, asked in the same transaction.
        """
        with self._database.write() as connection:
            provided(connection)
            if on_fail.when is RetryWhen.LATER:
                _hold_line(connection, attempt)
            row = _mine(connection, attempt)
            if not _job_exists(connection, attempt.job_id):
                connection.execute(delete(attempts).where(attempts.c.id == attempt.id))
                connection.execute(delete(output).where(output.c.job_id == attempt.job_id))
                return
            if outcome.output_cut:
                _note_cut(connection, attempt, row, now)
            cancelled = row["cancel_requested_at"] is not None and not outcome.succeeded
            reason = f"cancelled by {row['cancelled_by']}" if cancelled else outcome.reason
            _set_attempt(
                connection,
                attempt,
                state=AttemptState.ENDED,
                ended_at=_not_before_output(connection, attempt, _not_before_start(row, outcome, now)),
                exit_code=outcome.exit_code,
                reason=reason,
            )
            count_end(connection, attempt.id, outcome, cancelled=cancelled, now=now)
            if outcome.succeeded:
                _set_job(connection, attempt, status=JobStatus.DONE, end_time=now)
            elif cancelled:
                _failed(connection, attempt, CANCELLED, reason, now)
            else:
                _again_or_failed(
                    connection, attempt, reason or f"exit code {outcome.exit_code}", on_fail, now
                )
            if self._outbox is not None:
                self._outbox.job_ended(connection, attempt.job_id, now)

    def note(self, attempt: Attempt, text: str, now: datetime) -> None:
        """A line of ours among its output: how far its files are, what its host said."""
        with self._database.write() as connection:
            _mine(connection, attempt)
            if _job_exists(connection, attempt.job_id):
                row = {"stream": NOTE, "offset": 0, "time": now, "data": text.encode(errors="replace")}
                connection.execute(
                    insert(output).values(job_id=attempt.job_id, attempt=attempt.number, **row)
                )

    def unknown_ends(self, attempt: Attempt) -> list[int]:
        """Numbers of the job's earlier attempts on the same host of which nobody knows how they ended."""
        query = select(attempts.c.number).where(
            attempts.c.job_id == attempt.job_id,
            attempts.c.number < attempt.number,
            attempts.c.host_name == attempt.host_name,
            attempts.c.exit_code.is_(None),
        )
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(attempts.c.number)).scalars())

    def give_back(self, attempt: Attempt, refusal: Reason | None = None) -> None:
        """Undo a take whose command never started: New again at its place; no execution is counted.

        One that was cancelled meanwhile stays as it is: it has to end as cancelled. With a `refusal` it is
        passed over until that is over.
        """
        reason = (
            {}
            if refusal is None
            else {"reason_code": refusal.code, "reason_text": refusal.text, "reason_until": refusal.until}
        )
        with self._database.write() as connection:
            if _mine(connection, attempt)["cancel_requested_at"] is not None:
                return
            connection.execute(delete(attempts).where(attempts.c.id == attempt.id))
            connection.execute(
                delete(output).where(output.c.job_id == attempt.job_id, output.c.attempt == attempt.number)
            )
            _set_job(connection, attempt, status=JobStatus.NEW, attempt=jobs.c.attempt - 1, **reason)


def _note_cut(connection: Connection, attempt: Attempt, row: RowMapping, now: datetime) -> None:
    if row["output_cut"] or not _job_exists(connection, attempt.job_id):
        return
    note = {"stream": NOTE, "offset": 0, "time": now, "data": CUT_SENTENCE.encode()}
    connection.execute(insert(output).values(job_id=attempt.job_id, attempt=attempt.number, **note))
    _set_attempt(connection, attempt, output_cut=True)
    _set_job(connection, attempt, status=jobs.c.status)


def _not_before_start(row: RowMapping, outcome: Outcome, now: datetime) -> datetime:
    """A clock that was put back meanwhile must not make a duration negative."""
    ended_at = outcome.ended_at or now
    return ended_at if row["started_at"] is None else max(ended_at, row["started_at"])


def _not_before_output(connection: Connection, attempt: Attempt, ended_at: datetime) -> datetime:
    """Output has the time at which it was read, a moment after the end; the record of the end comes last."""
    query = (
        select(output.c.time)
        .where(output.c.job_id == attempt.job_id, output.c.attempt == attempt.number)
        .order_by(output.c.id.desc())
    )
    newest = connection.execute(query.limit(1)).scalar()
    return ended_at if newest is None else max(ended_at, newest)


def _failed(connection: Connection, attempt: Attempt, code: str, why: str | None, now: datetime) -> None:
    _set_job(
        connection, attempt, status=JobStatus.FAILED, try_count=jobs.c.try_count + 1, end_time=now,
        reason_code=code, reason_text=why,
    )  # fmt: skip


def _again_or_failed(
    connection: Connection, attempt: Attempt, why: str, on_fail: OnFail, now: datetime
) -> None:
    query = select(jobs.c.queue_name, jobs.c.try_count).where(jobs.c.id == attempt.job_id)
    job = connection.execute(query).one()
    if on_fail.when is None or job.try_count >= on_fail.count:
        _failed(connection, attempt, FAILED, why, now)
        return
    again: dict[str, Any] = {"status": JobStatus.NEW, "try_count": jobs.c.try_count + 1}
    if on_fail.when is RetryWhen.LATER:
        again["seq"] = next_seq(connection, job.queue_name)
    _set_job(connection, attempt, **again)


def _hold_line(connection: Connection, attempt: Attempt) -> None:
    """Hold the queue before the job, as a move does: two who wait for each other would both fail."""
    with suppress(QueueNotFound):  # deleted meanwhile, and the job with it
        query = select(jobs.c.queue_name).where(jobs.c.id == attempt.job_id)
        lock_queue(connection, connection.execute(query).scalar() or "")


def _mine(connection: Connection, attempt: Attempt) -> RowMapping:
    """Its row, held against whoever would cancel it meanwhile. Raises OldToken.

    The job's row is held first, as everywhere: two who wait for each other would both fail.
    """
    connection.execute(select(jobs.c.id).where(jobs.c.id == attempt.job_id).with_for_update())
    query = select(attempts).where(attempts.c.id == attempt.id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None or row["token"] != attempt.token or row["state"] == AttemptState.ENDED:
        raise OldToken(attempt.job_id, attempt.number)
    return row


def _job_exists(connection: Connection, job_id: int) -> bool:
    return connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is not None


def _set_attempt(connection: Connection, attempt: Attempt, /, **values: Any) -> None:
    connection.execute(update(attempts).where(attempts.c.id == attempt.id).values(**values))


def _set_job(connection: Connection, attempt: Attempt, /, **values: Any) -> None:
    values.setdefault("reason_code", None)
    values.setdefault("reason_text", None)
    values.setdefault("reason_until", None)
    connection.execute(
        update(jobs)
        .where(jobs.c.id == attempt.job_id, jobs.c.attempt == attempt.number)
        .values(version=jobs.c.version + 1, **values)
    )


def _output_row(attempt: Attempt, chunk: Chunk, known: int) -> dict[str, Any]:
    return {
        "job_id": attempt.job_id,
        "attempt": attempt.number,
        "stream": chunk.stream,
        "offset": chunk.offset + known,
        "time": chunk.time,
        "data": chunk.data[known:],
    }


def _attempt(row: RowMapping) -> Attempt:
    return Attempt(
        id=row["id"],
        job_id=row["job_id"],
        number=row["number"],
        token=row["token"],
        queue_name=row["queue_name"],
        host_name=row["host_name"],
        state=AttemptState(row["state"]),
        stdout_bytes=row["stdout_bytes"],
        stderr_bytes=row["stderr_bytes"],
        cancel_requested=row["cancel_requested_at"] is not None,
        work_pool=row["work_pool"],
    )
