"""When things will have ended, as far as past runs of the same types tell: estimates, never promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from batchd_api.alive import alive_since
from batchd_api.db.job_counts import number_of
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, jobs
from batchd_api.services.run_times import LOCALHOST, usual_seconds
from batchd_api.statuses import JobStatus
from batchd_api.times import format_time
from batchd_flows.windows import Schedule, openings

LOOKED_AT = 300  # of a queue's waiting jobs; those behind them count as the mean of these
MOST_OPENINGS = 60

Usual = Mapping[tuple[str, str], float]


def usual_of(usual: Usual, type_name: str, host_name: str | None) -> float | None:
    """On that host, else on any; None: no run of the type has succeeded yet."""
    there = usual.get((type_name, host_name or LOCALHOST))
    if there is not None:
        return there
    anywhere = [seconds for (name, _), seconds in usual.items() if name == type_name]
    return fmean(anywhere) if anywhere else None


def job_end(row: Any, usual: Usual) -> datetime | None:
    """Of a job that runs: at the rate of its progress, else by what is usual; None when it is late already
    or nothing is known.
    """
    if row["status"] != JobStatus.PROCESSING or row["started_at"] is None:
        return None
    if row["progress_eta"] is not None:
        eta: datetime = row["progress_eta"]
        return eta
    seconds = usual_of(usual, row["type_name"], row["attempt_host"])
    return None if seconds is None else row["started_at"] + timedelta(seconds=seconds)


def progress_record(row: Any) -> dict[str, Any] | None:
    """Of the latest execution; None where its output has told none."""
    if row["progress_percent"] is None or row["status"] in (JobStatus.NEW, JobStatus.POSTPONED):
        return None
    eta = row["progress_eta"] if row["status"] == JobStatus.PROCESSING else None
    return {"percent": row["progress_percent"], "text": row["progress_text"] or "", "eta": format_time(eta)}


@dataclass(frozen=True, kw_only=True)
class QueueEnds:
    """For all queues of an answer; what they share is read once."""

    connection: Connection
    usual: Usual
    fleet: Sequence[tuple[int, frozenset[str] | None]]  # workers of each dispatcher, and what it serves
    now: datetime
    zone: ZoneInfo

    @classmethod
    def at(cls, connection: Connection, now: datetime, zone: ZoneInfo) -> QueueEnds:
        query = select(dispatchers.c.workers, dispatchers.c.queues)
        rows = connection.execute(query.where(dispatchers.c.seen_at >= alive_since(now)))
        fleet = [(row.workers, None if row.queues is None else frozenset(row.queues)) for row in rows]
        usual = usual_seconds(connection)
        return cls(connection=connection, usual=usual, fleet=fleet, now=now, zone=zone)

    def of(self, queue: Any, schedule: Schedule) -> datetime | None:
        """When its last job will have ended; None: nothing to do, a disabled queue, a type without a past."""
        name = queue["name"]
        slots = sum(workers for workers, served in self.fleet if served is None or name in served)
        slots = min(slots, queue["max_jobs"] or slots)
        if not (queue["enabled"] and slots):
            return None
        running, waiting = self._running_seconds(name), self._waiting_seconds(name)
        if running is None or waiting is None or not (running or waiting):
            return None
        latest = self.now + timedelta(seconds=max(running, default=0.0))
        if not waiting:
            return latest
        each = (sum(running) + sum(waiting)) / slots
        end = self._within_windows(schedule, timedelta(seconds=max(each, max(waiting))))
        return None if end is None else max(latest, end)

    def _running_seconds(self, queue_name: str) -> list[float] | None:
        """What is left of each living execution."""
        query = (
            select(jobs.c.type_name, attempts.c.host_name, attempts.c.started_at, attempts.c.progress_eta)
            .join_from(attempts, jobs, attempts.c.job_id == jobs.c.id)
            .where(jobs.c.queue_name == queue_name, IS_ALIVE)
        )
        found = []
        for row in self.connection.execute(query):
            usual = usual_of(self.usual, row.type_name, row.host_name)
            if row.progress_eta is not None:
                found.append((row.progress_eta - self.now).total_seconds())
            elif usual is None:
                return None
            else:
                found.append(usual - (self.now - (row.started_at or self.now)).total_seconds())
        return [max(0.0, seconds) for seconds in found]

    def _waiting_seconds(self, queue_name: str) -> list[float] | None:
        mine = (jobs.c.queue_name == queue_name, jobs.c.status == JobStatus.NEW)
        query = select(jobs.c.type_name, jobs.c.host_name).where(*mine).order_by(jobs.c.seq)
        rows = self.connection.execute(query.limit(LOOKED_AT)).all()
        known = [usual_of(self.usual, row.type_name, row.host_name) for row in rows]
        found = [seconds for seconds in known if seconds is not None]
        if len(found) < len(known):
            return None
        if len(found) == LOOKED_AT:
            count = self.connection.execute(select(number_of(queue_name, JobStatus.NEW))).scalar_one()
            found += [fmean(found)] * (count - LOOKED_AT)
        return found

    def _within_windows(self, schedule: Schedule, work: timedelta) -> datetime | None:
        for opening in openings(schedule, self.now, self.zone, MOST_OPENINGS):
            if opening.end is None or opening.end - opening.begin >= work:
                try:
                    return opening.begin + work
                except OverflowError:
                    return None
            work -= opening.end - opening.begin
        return None
