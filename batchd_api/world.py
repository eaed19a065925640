"""The planner's two hands: reads the world from the database, writes the plan back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

from batchd_api.alive import DISPATCHER_ALIVE_SECONDS, alive_since
from batchd_api.db.clock import moment
from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, installation, jobs, queues, schedules
from batchd_api.host_ledger import entries_in, seen_as
from batchd_api.planner import (
    BrokenSchedule,
    BusyView,
    DispatcherView,
    HostState,
    HostView,
    Plan,
    QueueView,
    Start,
    World,
)
from batchd_api.services import autostart
from batchd_api.statuses import AttemptState, JobStatus, Reason
from batchd_api.world_jobs import JobsLook, reason_of
from batchd_flows.job_types import JobTypes
from batchd_flows.windows import Schedule, ScheduleError, parse_schedule

__all__ = ["DISPATCHER_ALIVE_SECONDS", "Seen", "Taken", "WorldStore", "alive_since", "beat"]
__all__ += ["reason_of", "usable_schedule"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The world at one moment; what its rows say of themselves; and the newest attempt of all then."""

    world: World
    reasons: Mapping[int, Reason | None]
    versions: Mapping[int, int]
    called: frozenset[int]  # jobs
    newest_attempt: int
    cut: frozenset[str] = frozenset()  # queues with more New jobs than were looked at

    def status(self, job_id: int) -> JobStatus:
        return JobStatus.WAITING if job_id in self.called else JobStatus.NEW


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An attempt that a plan has just written down."""

    job_id: int
    number: int
    dispatcher: str


class WorldStore:
    """Blocking, as everything that talks to the database."""

    def __init__(
        self,
        database: Database,
        job_types: JobTypes,
        hosts: Mapping[str, HostView],
        zone: ZoneInfo,
        *,
        may_write: Callable[[Connection], bool] = lambda _: True,
    ) -> None:
        """`may_write`: whether we are (still) the planner, asked within the transaction that writes."""
        self._database = database
        self._job_types = job_types
        self._hosts = hosts
        self._zone = zone
        self._may_write = may_write
        self._last_start: dict[str, datetime] = {}

    def look(self, now: datetime, *, prefect_down: str | None) -> Seen:
        """Read everything a plan rests on, in one snapshot."""
        with self._database.read() as connection:
            queue_rows = self._queue_rows(connection)
            queue_hosts = {row["name"]: row["host_name"] for row in queue_rows}
            job_rows = JobsLook(self._job_types, queue_hosts, now).see(connection)
            entries = entries_in(connection)
            busy_rows = _busy_rows(connection)
            dispatcher_rows = _dispatcher_rows(connection, now)
            newest_attempt = _newest_attempt(connection)
        world = World(
            now=now,
            zone=self._zone,
            queues=[self._queue_view(row) for row in queue_rows],
            jobs=job_rows.views,
            busy=[BusyView(**row) for row in busy_rows],
            dispatchers=[_dispatcher_view(row) for row in dispatcher_rows],
            hosts=[seen_as(view, entries.get(name), now) for name, view in self._hosts.items()],
            type_limits={t.name: t.max_jobs for t in self._job_types if t.max_jobs is not None},
            prefect_down=prefect_down,
        )
        return Seen(
            world=world,
            reasons=job_rows.reasons,
            versions=job_rows.versions,
            called=job_rows.called,
            newest_attempt=newest_attempt,
            cut=frozenset(job_rows.cut),
        )

    def apply(self, seen: Seen, plan: Plan) -> list[Taken]:
        """Write the plan down: a compare-and-set a start, and the changed reasons. Returns what was taken.

        A job whose row has changed since the look is left to the next one; and all are, where another planner
        has taken something meanwhile: the limits were counted without that.
        """
        changed = {
            job: reason
            for job, reason in plan.reasons.items()
            if seen.reasons.get(job) != reason or (job in plan.called) != (job in seen.called)
        }
        if not plan.starts and not changed:
            return []
        taken: list[Taken] = []
        with self._database.write() as connection:
            connection.execute(select(installation.c.id).with_for_update()).all()  # one planner at a time
            if not self._may_write(connection):
                return []
            counted = _newest_attempt(connection) == seen.newest_attempt
            usable = self._usable_hosts(connection, seen.world.now)
            for start in plan.starts if counted else ():
                if start.host_name is not None and start.host_name not in usable:
                    continue
                number = self._take(connection, start, seen)
                if number:
                    taken.append(Taken(job_id=start.job_id, number=number, dispatcher=start.dispatcher))
            for job_id, reason in changed.items():
                _write_reason(connection, job_id, reason, seen, called=job_id in plan.called)
        return taken

    def _usable_hosts(self, connection: Connection, now: datetime) -> set[str]:
        """As of this transaction: a machine that began to be stopped since the look gets no job."""
        entries = entries_in(connection)
        views = [seen_as(view, entries.get(name), now) for name, view in self._hosts.items()]
        return {view.name for view in views if view.state is HostState.READY}

    def _take(self, connection: Connection, start: Start, seen: Seen) -> int | None:
        row = connection.execute(
            update(jobs)
            .where(*_as_seen(start.job_id, seen))
            .values(
                status=JobStatus.WAITING,
                attempt=jobs.c.attempt + 1,
                version=jobs.c.version + 1,
                reason_code=None,
                reason_text=None,
                reason_until=None,
            )
            .returning(jobs.c.attempt, jobs.c.queue_name, _WORK_POOL)
        ).one_or_none()
        if row is None:
            return None
        connection.execute(
            insert(attempts).values(
                job_id=start.job_id,
                number=row.attempt,
                token=secrets.token_urlsafe(24),
                queue_name=row.queue_name,
                host_name=start.host_name,
                dispatcher=start.dispatcher,
                work_pool=row.work_pool,
                state=AttemptState.TAKEN,
                taken_at=seen.world.now,
            )
        )
        self._last_start[row.queue_name] = seen.world.now
        return int(row.attempt)

    def _queue_rows(self, connection: Connection) -> list[RowMapping]:
        query = (
            select(queues, schedules.c.weekdays, schedules.c.time)
            .join_from(queues, schedules)
            .order_by(queues.c.name)
        )
        return list(connection.execute(query).mappings())

    def _queue_view(self, row: RowMapping) -> QueueView:
        return QueueView(
            name=row["name"],
            enabled=row["enabled"],
            schedule=usable_schedule(row["schedule_name"], row["weekdays"], row["time"]),
            max_jobs=row["max_jobs"],
            is_tied=row["work_pool"] is not None,
            last_start=self._last_start.get(row["name"]),
        )


def usable_schedule(name: str, weekdays: object, time: object) -> Schedule | BrokenSchedule:
    """A row that another program wrote may hold anything; it bars the queues that use it, nothing else."""
    try:
        return parse_schedule(name, weekdays, time)
    except ScheduleError as error:
        return BrokenSchedule(name=name, fault=str(error))


def beat(database: Database, name: str, workers: int, queue_names: list[str] | None, now: datetime) -> bool:
    """Say that this dispatcher is alive, and see to the queues that start by themselves.

    Answers whether somebody wants it to take no new jobs.
    """
    values = {"workers": workers, "queues": queue_names, "seen_at": moment(now)}
    with database.write() as connection:
        mine = update(dispatchers).where(dispatchers.c.name == name).values(**values)
        draining = connection.execute(mine.returning(dispatchers.c.draining)).scalar_one_or_none()
        if draining is None:
            connection.execute(insert(dispatchers).values(name=name, **values))
        autostart.sweep(connection)
    return bool(draining)


# As the queue stands when the job is taken: later it may be tied to another pool, or to none.
_POOL_OF_QUEUE = select(queues.c.work_pool).where(queues.c.name == jobs.c.queue_name)
_WORK_POOL = _POOL_OF_QUEUE.scalar_subquery().label("work_pool")


def _busy_rows(connection: Connection) -> list[RowMapping]:
    # A deleted job's tree may still be ending: its attempt holds the slot until it is gone.
    query = (
        select(
            attempts.c.job_id,
            attempts.c.queue_name,
            attempts.c.dispatcher,
            attempts.c.host_name,
            attempts.c.work_pool.is_not(None).label("is_elsewhere"),
            func.coalesce(jobs.c.type_name, "").label("type_name"),
        )
        .join_from(attempts, jobs, attempts.c.job_id == jobs.c.id, isouter=True)
        .where(IS_ALIVE)
    )
    return list(connection.execute(query).mappings())


def _dispatcher_rows(connection: Connection, now: datetime) -> list[RowMapping]:
    query = select(dispatchers).where(dispatchers.c.seen_at >= alive_since(now))
    return list(connection.execute(query).mappings())


def _dispatcher_view(row: RowMapping) -> DispatcherView:
    names = row["queues"]
    return DispatcherView(
        name=row["name"],
        workers=row["workers"],
        queues=None if names is None else frozenset(names),
        draining=row["draining"],
        reaches_prefect=row["workers"] > 0,
    )


def _newest_attempt(connection: Connection) -> int:
    return connection.execute(select(func.max(attempts.c.id))).scalar() or 0


def _as_seen(job_id: int, seen: Seen) -> tuple[ColumnElement[bool], ...]:
    return (
        jobs.c.id == job_id,
        jobs.c.status == seen.status(job_id),
        jobs.c.version == seen.versions[job_id],
    )


def _write_reason(connection: Connection, job_id: int, reason: Reason, seen: Seen, *, called: bool) -> None:
    """With its turn, where that is given or taken back."""
    before = seen.reasons[job_id]
    shown_changes = before is None or before.code != reason.code  # only then does Prefect get a new state
    connection.execute(
        update(jobs)
        .where(*_as_seen(job_id, seen))
        .values(
            status=JobStatus.WAITING if called else JobStatus.NEW,
            reason_code=reason.code,
            reason_text=reason.text,
            reason_until=reason.until,
            version=jobs.c.version + (1 if shown_changes else 0),
        )
    )
