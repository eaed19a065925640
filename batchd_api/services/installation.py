"""What a fresh database gets, so that a first enqueue works."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Connection, Table, insert, select

from batchd_api.db.tables import Row, installation, queues, schedules
from batchd_api.db.upgrade import one_at_a_time

ANYTIME = "anytime"
DEFAULT_QUEUE = "default"


def ensure_first_rows(connection: Connection, now: datetime) -> str:
    """The installation's id. Only its first call makes rows: what people delete later stays deleted."""
    one_at_a_time(connection)
    found = connection.execute(select(installation.c.id)).scalar()
    if found is not None:
        return str(found)
    new_id = uuid.uuid4().hex
    connection.execute(insert(installation).values(id=new_id, created_at=now))
    _ensure(connection, schedules, {"name": ANYTIME, "weekdays": None, "time": None})
    queue = {"name": DEFAULT_QUEUE, "title": DEFAULT_QUEUE, "enabled": True, "schedule_name": ANYTIME}
    _ensure(connection, queues, queue)
    return new_id


def _ensure(connection: Connection, table: Table, row: Row) -> None:
    if connection.execute(select(table.c.name).where(table.c.name == row["name"])).first() is None:
        connection.execute(insert(table).values(row))
