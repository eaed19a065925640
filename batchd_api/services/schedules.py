"""Schedules: the windows in which queues start jobs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from batchd_api.db.tables import queues, schedules
from batchd_api.errors import Invalid, NeedsForce, ScheduleNotFound
from batchd_api.permissions import Caller
from batchd_api.schemas import NewSchedule
from batchd_api.services.ground import Ground, sentence_of
from batchd_api.services.queues import delete_queue
from batchd_api.services.rows import insert_named
from batchd_flows.errors import FlowsError
from batchd_flows.windows import parse_schedule, schedule_record


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

    def delete(self, caller: Caller, name: str, *, forced: bool) -> None:
        """Forced: the queues that use it and their jobs go too."""
        with self._ground.database.write() as connection:
            query = select(schedules.c.name).where(schedules.c.name == name).with_for_update()
            if connection.execute(query).first() is None:
                raise ScheduleNotFound(name)
            users = select(queues.c.name).where(queues.c.schedule_name == name).order_by(queues.c.name)
            used_by = connection.execute(users.with_for_update()).scalars().all()
            if used_by and not forced:
                names = ", ".join(f'"{queue}"' for queue in used_by)
                raise NeedsForce(f'The schedule "{name}" is used by {names}; with force they go too.')
            for queue in used_by:
                delete_queue(connection, queue, by=caller.name, ground=self._ground)
            connection.execute(delete(schedules).where(schedules.c.name == name))
        self._ground.changed()
