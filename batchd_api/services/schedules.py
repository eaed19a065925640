"""Schedules: the windows in which queues start jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from batchd_api.db.tables import queues, schedules
from batchd_api.errors import Invalid, NeedsForce, ScheduleNotFound
from batchd_api.permissions import Caller
from batchd_api.planner import BrokenSchedule
from batchd_api.schemas import NewSchedule
from batchd_api.services.ground import Ground, sentence_of
from batchd_api.services.queues import delete_queue
from batchd_api.services.rows import insert_named
from batchd_api.times import format_time
from batchd_api.world import usable_schedule
from batchd_flows.errors import FlowsError
from batchd_flows.windows import openings, parse_schedule, schedule_record


class Schedules:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def all(self) -> list[dict[str, Any]]:
        with self._ground.database.read() as connection:
            rows = connection.execute(select(schedules).order_by(schedules.c.name)).mappings().all()
        return [{"name": row["name"], "weekdays": row["weekdays"], "time": row["time"]} for row in rows]

    def create(self, new: NewSchedule) -> str:
        try:
            record = schedule_record(parse_schedule(new.name, new.weekdays, new.time))
        except FlowsError as error:
            raise Invalid(sentence_of(error)) from error
        with self._ground.database.write() as connection:
            insert_named(connection, schedules, "schedule", record)
        return new.name

    def change(self, name: str, values: Mapping[str, Any]) -> None:
        """Of `weekdays` and `time` those that are given; the whole must make sense."""
        with self._ground.database.write() as connection:
            row = _row(connection, name, lock=True)
            new = {"weekdays": row.weekdays, "time": row.time} | dict(values)
            try:
                record = schedule_record(parse_schedule(name, new["weekdays"], new["time"]))
            except FlowsError as error:
                raise Invalid(sentence_of(error)) from error
            if values:
                connection.execute(update(schedules).where(schedules.c.name == name).values(record))
        self._ground.changed()

    def openings(self, name: str, count: int) -> list[dict[str, Any]]:
        """The next times in which queues of this schedule start jobs; one that is open comes first."""
        with self._ground.database.read() as connection:
            row = _row(connection, name)
        schedule = usable_schedule(name, row.weekdays, row.time)
        if isinstance(schedule, BrokenSchedule):
            return []
        found = openings(schedule, self._ground.clock(), self._ground.zone, count)
        return [{"begin": format_time(one.begin), "end": format_time(one.end)} for one in found]

    def delete(self, caller: Caller, name: str, *, forced: bool) -> None:
        """Forced: the queues that use it and their jobs go too."""
        with self._ground.database.write() as connection:
            _row(connection, name, lock=True)
            users = select(queues.c.name).where(queues.c.schedule_name == name).order_by(queues.c.name)
            used_by = connection.execute(users.with_for_update()).scalars().all()
            if used_by and not forced:
                names = ", ".join(f'"{queue}"' for queue in used_by)
                raise NeedsForce(f'The schedule "{name}" is used by {names}; with force they go too.')
            for queue in used_by:
                delete_queue(connection, queue, by=caller.name, ground=self._ground)
            connection.execute(delete(schedules).where(schedules.c.name == name))
        self._ground.changed()


def _row(connection: Connection, name: str, *, lock: bool = False) -> Any:
    query = select(schedules).where(schedules.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise ScheduleNotFound(name)
    return row
