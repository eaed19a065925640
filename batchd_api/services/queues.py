"""Queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from batchd_api.db.tables import jobs, permissions, queues, schedules
from batchd_api.errors import Invalid, NeedsForce, QueueNotFound, UnknownInBody
from batchd_api.permissions import Caller, Place, Right
from batchd_api.schemas import NewQueue
from batchd_api.services.deletion import delete_jobs
from batchd_api.services.expected_ends import QueueEnds
from batchd_api.services.ground import Ground, sentence_of
from batchd_api.services.notices import shown, stored
from batchd_api.services.rows import insert_named
from batchd_api.statuses import JobStatus
from batchd_api.times import format_time
from batchd_api.world import usable_schedule
from batchd_flows.account import UserElsewhere
from batchd_flows.names import POOL_PREFIX
from batchd_flows.windows import Schedule, is_open, next_change

FIELDS = (
    "name",
    "title",
    "enabled",
    "schedule_name",
    "host_name",
    "autostart_job_count",
    "max_jobs",
    "run_as",
    "work_pool",
)

_WITH_WINDOWS = select(queues, schedules.c.weekdays, schedules.c.time).join_from(queues, schedules)


class Queues:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def visible(self, caller: Caller) -> list[dict[str, Any]]:
        """Those that the caller may view, by name."""
        with self._ground.database.read() as connection:
            rows = connection.execute(_WITH_WINDOWS.order_by(queues.c.name)).mappings().all()
            ends = QueueEnds.at(connection, self._ground.clock(), self._ground.zone)
            return [
                self._record(row, ends) for row in rows if caller.may(Right.VIEW_QUEUES, queue=row["name"])
            ]

    def get(self, name: str) -> dict[str, Any]:
        with self._ground.database.read() as connection:
            ends = QueueEnds.at(connection, self._ground.clock(), self._ground.zone)
            return self._record(_row(connection, name), ends)

    def _record(self, row: Any, ends: QueueEnds) -> dict[str, Any]:
        """`open`: its window is open now; `next_change`: when that ends, null for never.

        `expected_end`: an estimate of when its last job will have ended; null where nobody knows.
        """
        schedule = usable_schedule(row["schedule_name"], row["weekdays"], row["time"])
        now, zone = self._ground.clock(), self._ground.zone
        window: dict[str, Any] = {"open": False, "next_change": None, "expected_end": None}
        if isinstance(schedule, Schedule):
            change = format_time(next_change(schedule, now, zone))
            window = {"open": is_open(schedule, now, zone), "next_change": change}
            window["expected_end"] = format_time(ends.of(row, schedule))
        return {field: row[field] for field in FIELDS} | window | {"notify": shown(row["notify"])}

    def create(self, caller: Caller, new: NewQueue) -> str:
        host = None if new.host_name is None else self._ground.known_host(new.host_name)
        if host is not None:
            caller.require(Right.CREATE_JOBS, queue=new.name, place=Place(name=host))
        if new.run_as is not None or new.work_pool is not None:
            caller.require(Right.SUPER_USER)
        _check_pool(new.work_pool, host, new.run_as)
        _check_user(new.run_as, host)
        values = {field: getattr(new, field) for field in FIELDS} | {"host_name": host}
        values["notify"] = stored(new.notify, self._ground.notify_targets)
        with self._ground.database.write() as connection:
            _check_schedule(connection, new.schedule_name)
            insert_named(connection, queues, "queue", values)
        self._ground.changed()
        return new.name

    def change(self, caller: Caller, name: str, values: Mapping[str, Any]) -> None:
        values = dict(values)
        if values.get("host_name") is not None:
            values["host_name"] = self._ground.known_host(values["host_name"])
        if "notify" in values:
            values["notify"] = stored(values["notify"], self._ground.notify_targets)
        with self._ground.database.write() as connection:
            row = lock_queue(connection, name)
            if "host_name" in values and values["host_name"] != row.host_name:
                # Every job without a host of its own would go there: that is creating jobs there.
                caller.require(Right.CREATE_JOBS, queue=name, place=Place(name=values["host_name"]))
            if "schedule_name" in values:
                _check_schedule(connection, values["schedule_name"])
            after = {key: values.get(key, getattr(row, key)) for key in ("run_as", "work_pool", "host_name")}
            if (after["run_as"], after["work_pool"]) != (row.run_as, row.work_pool):
                caller.require(Right.SUPER_USER)  # whoever may say this may become anybody, or run anywhere
            _check_pool(after["work_pool"], after["host_name"], after["run_as"])
            _check_user(values.get("run_as", row.run_as), values.get("host_name", row.host_name))
            if values:
                connection.execute(update(queues).where(queues.c.name == name).values(values))
        self._ground.changed()

    def delete(self, caller: Caller, name: str, *, forced: bool) -> None:
        with self._ground.database.write() as connection:
            lock_queue(connection, name)
            count = connection.execute(select(func.count()).where(jobs.c.queue_name == name)).scalar_one()
            if count and not forced:
                raise NeedsForce(f'The queue "{name}" is not empty (jobs: {count}); with force they go too.')
            delete_queue(connection, name, by=caller.name, ground=self._ground)
        self._ground.changed()

    def delete_jobs(self, caller: Caller, name: str, statuses: Sequence[JobStatus]) -> None:
        with self._ground.database.write() as connection:
            lock_queue(connection, name)
            where = (jobs.c.queue_name == name, jobs.c.status.in_(statuses))
            delete_jobs(connection, *where, by=caller.name, now=self._ground.clock())
        self._ground.changed()


_LOCKED = (  # made once: every enqueue asks
    select(queues, schedules.c.weekdays, schedules.c.time)
    .join_from(queues, schedules)
    .where(queues.c.name == bindparam("queue"))
    .with_for_update(of=queues)
)


def lock_queue(connection: Connection, name: str) -> Any:
    """The queue's row with its schedule's `weekdays` and `time`; nobody else changes its order meanwhile."""
    row = connection.execute(_LOCKED, {"queue": name}).one_or_none()
    if row is None:
        raise QueueNotFound(name)
    return row


def delete_queue(connection: Connection, name: str, *, by: str, ground: Ground) -> None:
    """With its jobs, and the permissions that are about it: a later queue of that name starts afresh."""
    delete_jobs(connection, jobs.c.queue_name == name, by=by, now=ground.clock())
    connection.execute(delete(permissions).where(permissions.c.queue_name == name))
    connection.execute(delete(queues).where(queues.c.name == name))


def _row(connection: Connection, name: str) -> Any:
    row = connection.execute(_WITH_WINDOWS.where(queues.c.name == name)).mappings().one_or_none()
    if row is None:
        raise QueueNotFound(name)
    return row


def _check_pool(work_pool: str | None, host: str | None, run_as: str | None) -> None:
    """Where a job of a tied queue runs, and as whom, is up to the workers of that pool."""
    if work_pool is None:
        return
    if work_pool.startswith(POOL_PREFIX):
        raise Invalid(f'"{work_pool}" is a work pool of batchd\'s own; name one of another type.')
    if host is not None or run_as is not None:
        raise Invalid(
            "A queue that is tied to a work pool has neither a host nor run_as: its workers say that."
        )


def _check_user(run_as: str | None, host: str | None) -> None:
    if run_as is not None and host is not None:
        raise Invalid(sentence_of(UserElsewhere(run_as, host)))


def _check_schedule(connection: Connection, name: str) -> None:
    if connection.execute(select(schedules.c.name).where(schedules.c.name == name)).first() is None:
        raise UnknownInBody("schedule", name)
