"""Why a job waits or failed, as of now: what was written down, and what only the moment of reading knows.

The planner looks at the first jobs of a queue and only while a dispatcher is alive; so a job's place among
all others, and that nobody is there to start it, are worked out here, by the planner's own rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from batchd_api.alive import alive_since
from batchd_api.db.tables import dispatchers, jobs, queues, schedules
from batchd_api.planner import DispatcherView, JobView, QueueView, World, plan
from batchd_api.services.ground import Ground
from batchd_api.statuses import JobStatus, ReasonCode
from batchd_api.times import format_time
from batchd_api.world import usable_schedule

STARTING = "starting"
STARTING_TEXT = "its turn has come: Prefect is told, then its command starts"
POSTPONED_TEXT = "held by a person until it is set to New"
IDS_IN_A_STATEMENT = 500
NOTHING_BUT_A_TURN = (ReasonCode.POSITION, ReasonCode.SLOTS)

Reasons = dict[int, dict[str, Any]]


def reasons_of(ground: Ground, connection: Connection, rows: Sequence[Any]) -> Reasons:
    """Job → its reason's record, for those of these rows that have one. A few statements, however many."""
    found = {row["id"]: reason for row in rows if (reason := _written(row)) is not None}
    waiting = [row for row in rows if row["status"] == JobStatus.NEW]
    if waiting:
        found |= _worked_out(ground, connection, waiting, found)
    return found


def _written(row: Any) -> dict[str, Any] | None:
    if row["status"] == JobStatus.POSTPONED:
        return _record(ReasonCode.POSTPONED, POSTPONED_TEXT)
    if row["status"] == JobStatus.WAITING and row["reason_code"] is None:
        return _record(STARTING, STARTING_TEXT)
    if row["reason_code"] is None or row["status"] in (JobStatus.DONE, JobStatus.PROCESSING):
        return None
    return _record(row["reason_code"], row["reason_text"] or "", row["reason_until"])


def _worked_out(ground: Ground, connection: Connection, waiting: list[Any], written: Reasons) -> Reasons:
    now = ground.clock()
    nobody_starts = _idle_dispatchers(connection, now)
    stale = [
        row
        for row in waiting
        if not any(dispatcher.serves(row["queue_name"]) for dispatcher in nobody_starts)
        or row["id"] not in written
        or written[row["id"]]["code"] == ReasonCode.POSITION
    ]
    names = sorted({row["queue_name"] for row in stale})
    world = World(
        now=now,
        zone=ground.zone,
        queues=_queue_views(connection, names),
        jobs=[_job_view(row) for row in stale],
        dispatchers=nobody_starts,
    )
    planned = plan(world).reasons
    in_line = {row["id"]: row for row in stale if planned[row["id"]].code in NOTHING_BUT_A_TURN}
    barred = {
        job: _record(reason.code, reason.text, reason.until)
        for job, reason in planned.items()
        if job not in in_line
    }
    return barred | _places(connection, list(in_line.values()))


def _idle_dispatchers(connection: Connection, now: datetime) -> list[DispatcherView]:
    """Those that are alive, without workers: a plan with them starts nothing and gives every job a reason."""
    rows = connection.execute(
        select(dispatchers.c.name, dispatchers.c.queues, dispatchers.c.draining).where(
            dispatchers.c.seen_at >= alive_since(now)
        )
    )
    return [
        DispatcherView(
            name=row.name,
            workers=0,
            queues=None if row.queues is None else frozenset(row.queues),
            draining=row.draining,
        )
        for row in rows
    ]


def _queue_views(connection: Connection, names: list[str]) -> list[QueueView]:
    query = (
        select(
            queues.c.name, queues.c.enabled, queues.c.schedule_name, schedules.c.weekdays, schedules.c.time
        )
        .join_from(queues, schedules)
        .where(queues.c.name.in_(names))
    )
    return [
        QueueView(
            name=row.name,
            enabled=row.enabled,
            schedule=usable_schedule(row.schedule_name, row.weekdays, row.time),
        )
        for row in connection.execute(query)
    ]


def _job_view(row: Any) -> JobView:
    return JobView(
        id=row["id"],
        queue_name=row["queue_name"],
        seq=row["seq"],
        type_name=row["type_name"],
        start_time=row["start_time"],
    )


def _places(connection: Connection, in_line: list[Any]) -> Reasons:
    """Where each stands among all New jobs of its queue."""
    if not in_line:
        return {}
    if len(in_line) == 1:
        return {in_line[0]["id"]: _place_of_one(connection, in_line[0])}
    ids = [row["id"] for row in in_line]
    names = sorted({row["queue_name"] for row in in_line})
    ranked = (
        select(
            jobs.c.id,
            jobs.c.queue_name,
            func.row_number()
            .over(partition_by=jobs.c.queue_name, order_by=(jobs.c.seq, jobs.c.id))
            .label("place"),
            func.count().over(partition_by=jobs.c.queue_name).label("length"),
        )
        .where(jobs.c.status == JobStatus.NEW, jobs.c.queue_name.in_(names))
        .subquery()
    )
    query = select(ranked)
    if len(ids) <= IDS_IN_A_STATEMENT:
        query = query.where(ranked.c.id.in_(ids))
    wanted = set(ids)
    return {
        row.id: _position(row.place, row.length, row.queue_name)
        for row in connection.execute(query)
        if row.id in wanted
    }


def _place_of_one(connection: Connection, row: Any) -> dict[str, Any]:
    """Counted in the index alone: programs ask for one job again and again."""
    in_queue = (jobs.c.status == JobStatus.NEW, jobs.c.queue_name == row["queue_name"])
    length = select(func.count()).where(*in_queue).scalar_subquery()
    place = select(func.count()).where(*in_queue, jobs.c.seq <= row["seq"]).scalar_subquery()
    counted = connection.execute(select(place.label("place"), length.label("length"))).one()
    return _position(counted.place, counted.length, row["queue_name"])


def _position(place: int, length: int, queue_name: str) -> dict[str, Any]:
    return _record(ReasonCode.POSITION, f"{place} of {length} in queue {queue_name}")


def _record(code: str, text: str, until: datetime | None = None) -> dict[str, Any]:
    return {"code": code, "text": text, "until": format_time(until)}
