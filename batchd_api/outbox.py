"""What is to be told, written down with what it tells of: a crash forgets nothing. Blocking.

Told at least once: who crashes between the telling and its note tells it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, jobs, notifications, queues
from batchd_api.services.durations import spoken
from batchd_api.services.expected_ends import usual_of
from batchd_api.services.last_lines import last_lines
from batchd_api.services.notices import read_back
from batchd_api.services.run_times import usual_seconds
from batchd_api.statuses import JobStatus
from batchd_flows.job_types import JobTypes
from batchd_flows.notices import Notice, NoticeEvent

CANCELLED = "cancelled"
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 900))
LEASE = timedelta(minutes=2)  # who takes a message tells it within that, or another one does
TIMES_USUAL = 2
AT_LEAST_SECONDS = 60.0
UNFINISHED = (JobStatus.NEW, JobStatus.WAITING, JobStatus.PROCESSING)


@dataclass(frozen=True, kw_only=True)
class Message:
    """`last_try`: after this one it is given up."""

    id: int
    target: str
    title: str
    body: str
    tries: int

    @property
    def last_try(self) -> bool:
        return self.tries >= len(PAUSES)


class Outbox:
    """`targets`: the names that this configuration has. `page_url`: where people open our page."""

    def __init__(
        self, database: Database, job_types: JobTypes, targets: Collection[str], page_url: str
    ) -> None:
        self._database = database
        self._job_types = job_types
        self._targets = frozenset(targets)
        self._page_url = page_url

    def job_ended(self, connection: Connection, job_id: int, now: datetime) -> None:
        """In the transaction of the end. A job that is tried again, or was cancelled, is no news."""
        if not self._targets:
            return
        row = _job(connection, job_id)
        if row is None or row["status"] not in (JobStatus.DONE, JobStatus.FAILED):
            return
        if row["status"] == JobStatus.DONE:
            self._add(connection, row, NoticeEvent.DONE, f"job #{job_id} is done", now)
        elif row["reason_code"] != CANCELLED:
            why = row["reason_text"] or "failed"
            self._add(connection, row, NoticeEvent.FAIL, f"job #{job_id} failed: {why}", now)
        self._queue_ended(connection, row, now)

    def note_long(self, now: datetime) -> int:
        """Tell of executions that take more than twice what is usual, each once. Returns how many."""
        if not self._targets:
            return 0
        query = (
            select(attempts.c.id, attempts.c.job_id, attempts.c.started_at, attempts.c.host_name)
            .where(IS_ALIVE, attempts.c.started_at.is_not(None), ~attempts.c.long_noted)
        )  # fmt: skip
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            usual = usual_seconds(connection) if rows else {}
        noted = 0
        for one in rows:
            seconds = (now - one.started_at).total_seconds()
            if seconds > AT_LEAST_SECONDS:
                noted += self._note_long(one, seconds, usual, now)
        return noted

    def take(self, now: datetime, limit: int) -> list[Message]:
        """Messages that are due, and nobody else's for the time of a lease."""
        due = select(notifications).where(notifications.c.next_try_at <= now, self._ours())
        with self._database.write() as connection:
            rows = connection.execute(due.order_by(notifications.c.id).limit(limit)).mappings().all()
            mine = [row for row in rows if self._lease(connection, row, now)]
            return [self._message(connection, row) for row in mine]

    def told(self, message: Message) -> None:
        with self._database.write() as connection:
            connection.execute(delete(notifications).where(notifications.c.id == message.id))

    def not_told(self, message: Message, now: datetime) -> None:
        """Again after a pause, or never."""
        if message.last_try:
            self.told(message)
            return
        again = {"tries": message.tries + 1, "next_try_at": now + PAUSES[message.tries]}
        with self._database.write() as connection:
            connection.execute(update(notifications).where(notifications.c.id == message.id).values(again))

    def _ours(self) -> Any:
        return notifications.c.target.in_(sorted(self._targets))

    def _lease(self, connection: Connection, row: Any, now: datetime) -> bool:
        same = and_(notifications.c.id == row["id"], notifications.c.next_try_at == row["next_try_at"])
        return connection.execute(
            update(notifications).where(same).values(next_try_at=now + LEASE)
        ).rowcount == 1  # fmt: skip

    def _message(self, connection: Connection, row: Any) -> Message:
        lines = [row["text"]]
        if row["job_id"] is not None:
            lines.append(f"{self._page_url}/#/job/{row['job_id']}")
            if row["attempt"]:
                lines += ["", last_lines(connection, row["job_id"], row["attempt"])]
        else:
            lines.append(f"{self._page_url}/")
        title = f"batchd: {row['text']}".splitlines()[0][:120]
        return Message(
            id=row["id"],
            target=row["target"],
            title=title,
            body="\n".join(lines).rstrip(),
            tries=row["tries"],
        )

    def _note_long(self, one: Any, seconds: float, usual: Any, now: datetime) -> bool:
        with self._database.write() as connection:
            row = _job(connection, one.job_id)
            known = None if row is None else usual_of(usual, row["type_name"], one.host_name)
            if row is None or known is None or seconds <= TIMES_USUAL * known:
                return False
            mine = update(attempts).where(attempts.c.id == one.id, ~attempts.c.long_noted)
            if not connection.execute(mine.values(long_noted=True)).rowcount:
                return False
            text = f"job #{one.job_id} has run for {spoken(seconds)}; usual is {spoken(known)}"
            self._add(connection, row, NoticeEvent.LONG, text, now)
        return True

    def _queue_ended(self, connection: Connection, row: Any, now: datetime) -> None:
        wishes = [one for one in read_back(row["of_queue"]) if one.event is NoticeEvent.QUEUE_EMPTY]
        if not wishes:
            return
        left = select(jobs.c.id).where(jobs.c.queue_name == row["queue_name"], jobs.c.status.in_(UNFINISHED))
        if connection.execute(left.limit(1)).first() is None:
            text = f"queue {row['queue_name']} is empty: its last job, #{row['id']}, is {row['status']}"
            self._insert(connection, wishes, row["queue_name"], None, text, now)

    def _add(self, connection: Connection, row: Any, event: NoticeEvent, text: str, now: datetime) -> None:
        type_wishes: tuple[Notice, ...] = ()
        if row["type_name"] in self._job_types:
            type_wishes = self._job_types.get(row["type_name"]).notify
        wishes = [*read_back(row["of_queue"]), *type_wishes, *read_back(row["notify"])]
        text = f"{text} ({row['type_name']} in {row['queue_name']})"
        wishes = [one for one in wishes if one.event is event]
        self._insert(connection, wishes, row["queue_name"], (row["id"], row["attempt"]), text, now)

    def _insert(
        self,
        connection: Connection,
        wishes: Iterable[Notice],
        queue_name: str,
        job: tuple[int, int] | None,
        text: str,
        now: datetime,
    ) -> None:
        """One a target, however often it was asked for."""
        for target in sorted({name for one in wishes if (name := self._name_of(one)) is not None}):
            event = next(one.event for one in wishes if self._name_of(one) == target)
            connection.execute(
                insert(notifications).values(
                    target=target,
                    event=event.value,
                    queue_name=queue_name,
                    job_id=None if job is None else job[0],
                    attempt=None if job is None else job[1],
                    text=text,
                    created_at=now,
                    next_try_at=now,
                )
            )

    def _name_of(self, one: Notice) -> str | None:
        if one.target is None:
            return next(iter(self._targets)) if len(self._targets) == 1 else None
        return one.target if one.target in self._targets else None


def _job(connection: Connection, job_id: int) -> Any:
    query = select(jobs, queues.c.notify.label("of_queue")).join_from(jobs, queues).where(jobs.c.id == job_id)
    return connection.execute(query).mappings().one_or_none()
