"""The jobs that the planner looks at: each queue's first New ones, and those that were called.

A hundred a queue, at every look: so what rows have in common is made once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, or_, select

from batchd_api.called import IS_CALLED, effective_host
from batchd_api.db.tables import jobs
from batchd_api.planner import JobView
from batchd_api.statuses import JobStatus, Reason, ReasonCode
from batchd_flows.job_types import JobTypes

PAGE = 100  # jobs of a queue that the planner looks at; the rest stand behind them
FARTHEST = 3000  # where nothing but jobs that wait for their hosts stands before
PLANNERS_CODES: Mapping[str, ReasonCode] = {str(code): code for code in ReasonCode}
HOST_CODES = frozenset({ReasonCode.HOST_FULL, ReasonCode.HOST_STARTING, ReasonCode.HOST_FAILED})

_NAMES = ("id", "queue_name", "seq", "type_name", "start_time", "host_name", "version")
_REASON_NAMES = ("reason_code", "reason_text", "reason_until")
_COLUMNS = tuple(jobs.c[name] for name in (*_NAMES, *_REASON_NAMES))
_NEW = select(*_COLUMNS).where(jobs.c.status == JobStatus.NEW).order_by(jobs.c.seq).limit(PAGE)
_CALLED = select(*_COLUMNS).where(IS_CALLED).order_by(jobs.c.queue_name, jobs.c.seq)


@dataclass(kw_only=True)
class JobsSeen:
    """`reasons`: those of the planner's that the rows carry. `cut`: queues with more New jobs than these."""

    views: list[JobView] = field(default_factory=list)
    reasons: dict[int, Reason | None] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    called: frozenset[int] = frozenset()
    cut: set[str] = field(default_factory=set)


class JobsLook:
    """One look; `queue_hosts` are the hosts of the queues whose jobs are looked at."""

    def __init__(self, job_types: JobTypes, queue_hosts: Mapping[str, str | None], now: datetime) -> None:
        self._job_types = job_types
        self._queue_hosts = queue_hosts
        self._now = now
        self._hosts: dict[tuple[str | None, str, str], str | None] = {}
        self._reasons: dict[tuple[str, str | None, datetime | None], Reason | None] = {}

    def see(self, connection: Connection) -> JobsSeen:
        seen = JobsSeen()
        called = connection.execute(_CALLED).all()
        seen.called = frozenset(row[0] for row in called)
        self._add(seen, called, called=True)
        for name in self._queue_hosts:
            for page in self._pages(connection, name):
                self._add(seen, page, called=False)
            if len(page) == PAGE:
                seen.cut.add(name)
        return seen

    def _pages(self, connection: Connection, queue_name: str) -> Iterator[list[Any]]:
        """The queue's first New jobs; and more, where all of those only let others pass."""
        query = _NEW.where(jobs.c.queue_name == queue_name)
        page = list(connection.execute(query))
        yield page
        may_run = or_(jobs.c.start_time.is_(None), jobs.c.start_time <= self._now)
        far = PAGE
        while len(page) == PAGE and far < FARTHEST and all(self._lets_pass(row) for row in page):
            page = list(connection.execute(query.where(jobs.c.seq > page[-1].seq, may_run)))
            far += PAGE
            yield page

    def _lets_pass(self, row: Row[Any]) -> bool:
        """It waits for a time to come, or waited for its host when it was last looked at."""
        if row.start_time is not None and row.start_time > self._now:
            return True
        if row.reason_code is None:
            return False
        reason = self._reason(row.reason_code, row.reason_text, row.reason_until)
        return reason is not None and (reason.code in HOST_CODES or self._refusal(reason) is not None)

    def _add(self, seen: JobsSeen, rows: Sequence[Any], *, called: bool) -> None:
        for job_id, queue_name, seq, type_name, start_time, host_name, version, *carried in rows:
            reason = None if carried[0] is None else self._reason(*carried)
            view = JobView(
                id=job_id,
                queue_name=queue_name,
                seq=seq,
                type_name=type_name,
                start_time=start_time,
                host_name=self._host(host_name, type_name, queue_name),
                called=called,
                refusal=None if reason is None else self._refusal(reason),
            )
            seen.views.append(view)
            seen.reasons[job_id] = reason
            seen.versions[job_id] = version

    def _host(self, host_name: str | None, type_name: str, queue_name: str) -> str | None:
        key = (host_name, type_name, queue_name)
        if key not in self._hosts:
            queue_host = self._queue_hosts[queue_name]
            self._hosts[key] = effective_host(self._job_types, host_name, type_name, queue_host)
        return self._hosts[key]

    def _reason(self, code: str, text: str | None, until: datetime | None) -> Reason | None:
        key = (code, text, until)
        if key not in self._reasons:
            self._reasons[key] = _reason(*key)
        return self._reasons[key]

    def _refusal(self, reason: Reason) -> Reason | None:
        """What Prefect said of this job alone, while it counts. (Prefect away has no known end.)"""
        if reason.until is None or reason.code is not ReasonCode.PREFECT_DOWN:
            return None
        return reason if reason.until > self._now else None


def reason_of(row: RowMapping) -> Reason | None:
    """The reason that a job's row carries, if it waits for one of the planner's."""
    return _reason(row["reason_code"], row["reason_text"], row["reason_until"])


def _reason(code: str | None, text: str | None, until: datetime | None) -> Reason | None:
    known = PLANNERS_CODES.get(code or "")
    return None if known is None else Reason(code=known, text=text or "", until=until)
