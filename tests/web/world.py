"""What the tests of the pages look at: queues with jobs in every status, some of them with output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from batchd_api.db.tables import jobs
from batchd_api.host_ledger import write_entry
from batchd_api.permissions import Grant, Right
from batchd_api.schemas import NewJob
from batchd_api.services.users import grant
from batchd_infra.host_ledger import HostEntry, HostPhase
from tests.facade import Facade, running
from tests.ground import NOW, ROOT, installation

PREFECT = "http://127.0.0.1:4200"
IDLE = HostEntry(
    name="farm",
    phase=HostPhase.READY,
    ours=True,
    since=NOW - timedelta(hours=2),
    idle_since=NOW - timedelta(minutes=3),
)
TIED_RIGHTS = (Right.VIEW_QUEUES, Right.VIEW_JOBS, Right.MANAGE_JOBS, Right.CREATE_JOBS)


@dataclass(frozen=True, kw_only=True)
class World:
    facade: Facade
    jobs: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.facade.port}"


@contextmanager
def world(folder: Path, **options: Any) -> Iterator[World]:
    """Users: `root` (everything), `ann` (the queue `night` alone), `eve` (sees jobs of `night`)."""
    url = f"sqlite:///{folder / 'batchd.db'}"
    with installation(url) as here, running(here, prefect_ui_url=PREFECT, **options) as facade:
        here.dispatcher()
        facade.users.create("root", "secret", superuser=True)
        facade.users.create("ann", "secret")
        facade.users.create("eve", "secret")
        here.schedule("night", "22:00:00", "06:00:00")
        here.schedule("office hours", "08:00:00", "18:00:00")
        here.queue("night", title="Night renders", schedule_name="night", max_jobs=2)
        here.queue("day", title="Daytime", schedule_name="office hours")
        here.queue("lab", enabled=False, host_name="lab")
        with here.database.write() as connection:
            for right in TIED_RIGHTS:
                grant(connection, "ann", Grant(right=right, queue_name="night"))
            for right in (Right.VIEW_QUEUES, Right.VIEW_JOBS):
                grant(connection, "eve", Grant(right=right, queue_name="night"))
            write_entry(connection, "farm", lambda _: IDLE)
        yield World(facade=facade, jobs=populate(facade))


def populate(facade: Facade) -> dict[str, int]:
    """A running, a done, a failed, a held and five waiting jobs in `night`."""
    here = facade.here
    names = ("running", "done", "failed", "held", "first", "second", "third", "fourth", "fifth")
    made = {
        name: here.enqueue(
            "night", type="render", params={"input": f"/films/shot-{number:03}.blend", "frames": "240"}
        )
        for number, name in enumerate(names, 1)
    }
    here.jobs.enqueue(ROOT, "day", _command("rsync -a /srv/photos backup:/photos", notes="the weekly one"))
    here.set_job(made["running"], status="Processing")
    frames = b"".join(b"Fra:%d Mem:412.31M | Time:00:01.94 | Rendering\n" % frame for frame in range(1, 120))
    began = NOW - timedelta(minutes=25)
    here.attempt(
        made["running"],
        queue_name="night",
        started_at=began,
        stdout=[b"Blender 4.2.1\n", frames],
        stderr=[b"Warning: 2 textures are missing\n"],
    )
    here.flow_run(made["running"], "0198a2f4-9c1d-7b0e-b7c0-5f4d6b1c2a3e")
    for name, status, code in (("done", "Done", 0), ("failed", "Failed", 137)):
        here.attempt(
            made[name],
            queue_name="night",
            state="ended",
            exit_code=code,
            started_at=NOW - timedelta(hours=3),
            ended_at=NOW - timedelta(hours=2, minutes=13),
            stdout=[b"Fra:1\nFra:2\n"],
        )
        here.set_job(made[name], status=status, end_time=NOW - timedelta(hours=2, minutes=13))
    here.set_job(made["failed"], reason_code="failed", reason_text="killed by signal 9 (KILL)")
    here.set_job(made["held"], status="Postponed")
    here.set_job(made["second"], notes="the client wants this one today")
    return made


def _command(command: str, **fields: str) -> NewJob:
    program, _, args = command.partition(" ")
    return NewJob(type="command", params={"command": program, "args": args}, **fields)


def many(facade: Facade, queue: str, count: int) -> None:
    """Straight into the table: making them one by one would take a minute."""
    rows = [
        {
            "queue_name": queue,
            "seq": number,
            "type_name": "command",
            "user_name": "root",
            "create_time": NOW,
            "status": "New",
            "params": {"command": "echo", "args": f"number {number}"},
        }
        for number in range(1, count + 1)
    ]
    with facade.here.database.write() as connection:
        connection.execute(insert(jobs), rows)
