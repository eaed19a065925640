"""An installation in memory for tests of the services: the first rows, two hosts, a few job types."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher
from sqlalchemy import event, func, insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs, output, queues, schedules
from batchd_api.db.upgrade import upgrade
from batchd_api.permissions import SUPERUSER, Caller, Grant, Right
from batchd_api.schemas import NewJob, NewQueue
from batchd_api.services.ground import Ground
from batchd_api.services.installation import ensure_first_rows
from batchd_api.services.jobs import Jobs
from batchd_api.services.passwords import Passwords
from batchd_api.services.queues import Queues
from batchd_api.world import beat
from batchd_flows.job_types import COMMAND, JobType, JobTypes, Parameter, ParameterType
from batchd_infra.hosts import Host, Hosts

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday, at noon
ROOT = Caller(name="root", grants=SUPERUSER)

RENDER = JobType(
    name="render",
    template=("blender $input",),
    params=(Parameter(name="input"), Parameter(name="frames", type=ParameterType.INTEGER, default="1")),
)
FARMED = JobType(name="farmed", template=("true",), host_name="farm")


def quick_passwords() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


class Installation:
    """Services on a database, and what others (planner, recorder) would have written there."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.changes = 0
        self.ground = Ground(
            database=database,
            job_types=JobTypes([COMMAND, RENDER, FARMED]),
            hosts=Hosts([Host(name=n, host_name=n, controller_id=n) for n in ("farm", "lab")]),
            zone=ZoneInfo("UTC"),
            clock=lambda: self.now,
            changed=self._changed,
        )
        self.jobs = Jobs(self.ground)
        self.queues = Queues(self.ground)

    def _changed(self) -> None:
        self.changes += 1

    def queue(self, name: str, **fields: Any) -> str:
        return self.queues.create(ROOT, NewQueue(**({"name": name, "title": name} | fields)))

    def schedule(self, name: str, begin: str, end: str) -> None:
        values = {"name": name, "weekdays": None, "time": [{"begin": begin, "end": end}]}
        with self.database.write() as connection:
            connection.execute(insert(schedules).values(values))

    def enqueue(self, queue: str = "default", *, by: Caller = ROOT, **fields: Any) -> int:
        return self.jobs.enqueue(by, queue, NewJob(**({"type": "command"} | fields)))

    def set_job(self, job_id: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))

    def row(self, job_id: int) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()

    def order(self, queue: str = "default") -> list[int]:
        query = select(jobs.c.id).where(jobs.c.queue_name == queue).order_by(jobs.c.seq)
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def attempt(self, job_id: int, *, state: str = "running", number: int = 1, **values: Any) -> None:
        """What planner and recorder write when a job is taken; `stdout` and `stderr` are lists of chunks."""
        streams = {stream: values.pop(stream, []) for stream in ("stdout", "stderr")}
        row = {
            "job_id": job_id,
            "number": number,
            "token": "t",
            "queue_name": "default",
            "dispatcher": "d",
            "state": state,
            "taken_at": NOW,
            "started_at": NOW,
            "ended_at": NOW if state == "ended" else None,
            "exit_code": 0 if state == "ended" else None,
        }
        with self.database.write() as connection:
            connection.execute(insert(attempts).values(row | values))
        self.set_job(job_id, attempt=number)
        for stream, chunks in streams.items():
            for data in chunks:
                self.write(job_id, stream, data, number=number)

    def set_queue(self, name: str, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(queues).where(queues.c.name == name).values(values))

    def set_attempt(self, job_id: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(attempts).where(attempts.c.job_id == job_id).values(values))

    def write(self, job_id: int, stream: str, data: bytes, *, number: int = 1, time: datetime = NOW) -> None:
        """One chunk of output, as the recorder stores it."""
        column = attempts.c[f"{stream}_bytes"]
        mine = (attempts.c.job_id == job_id) & (attempts.c.number == number)
        with self.database.write() as connection:
            offset = connection.execute(select(column).where(mine)).scalar_one()
            row = {"job_id": job_id, "attempt": number, "stream": stream, "offset": offset, "time": time}
            connection.execute(insert(output).values(row | {"data": data}))
            connection.execute(update(attempts).where(mine).values({column.name: offset + len(data)}))

    def flow_run(self, job_id: int, run_id: str, *, attempt: int = 1) -> None:
        row = {"id": run_id, "job_id": job_id, "attempt": attempt, "number": 1, "queue_name": "default"}
        row |= {"name": "a run", "shown": "PENDING"}
        with self.database.write() as connection:
            connection.execute(insert(flow_runs).values(row))

    def dispatcher(self, name: str = "d", *, workers: int = 1, queues: list[str] | None = None) -> None:
        """One that is alive now."""
        beat(self.database, name, workers, queues, self.now)

    def count(self, table: Any, *where: Any) -> int:
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


@contextmanager
def installation(url: str = "sqlite://") -> Iterator[Installation]:
    database = Database(url)
    try:
        upgrade(database)
        with database.write() as connection:
            ensure_first_rows(connection, NOW)
        yield Installation(database)
    finally:
        database.close()


@contextmanager
def opened_installation(url: str) -> Iterator[Installation]:
    """That is there already, and is as this version wants it."""
    database = Database(url)
    try:
        yield Installation(database)
    finally:
        database.close()


@contextmanager
def copied_installation(template: Path) -> Iterator[Installation]:
    """In memory, and without the migrations: they would take most of a small test's time."""
    database = Database("sqlite://")
    try:
        with closing(sqlite3.connect(template)) as source, database.engine.connect() as connection:
            target = connection.connection.driver_connection
            assert isinstance(target, sqlite3.Connection)
            source.backup(target)
        yield Installation(database)
    finally:
        database.close()


def user(*rights: Right, name: str = "ann", **ties: str) -> Caller:
    return Caller(name=name, grants=tuple(Grant(right=right, **ties) for right in rights))


@contextmanager
def statements(here: Installation) -> Iterator[list[str]]:
    """What is said to the database meanwhile."""
    seen: list[str] = []

    def listener(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(here.database.engine, "before_cursor_execute", listener)
    yield seen
    event.remove(here.database.engine, "before_cursor_execute", listener)
