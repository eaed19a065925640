"""A queue with very many waiting jobs against one with a hundred: what people and the planner ask of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from statistics import median
from zoneinfo import ZoneInfo

from batchd_api.db.session import Database
from batchd_api.planner import plan
from batchd_api.world import WorldStore
from batchd_flows.job_types import COMMAND, JobTypes
from bench.figures import Figure, at_most
from bench.mirror_lag import lag
from bench.places import Ours, until
from bench.site import Site

FEW, MANY = 100, 100_000
MOST = 1.5


def measure(site: Site) -> Iterator[Figure]:
    many, times = (1000, 3) if site.quick else (MANY, 31)
    with site.ours() as small, site.ours() as large:
        behind = [filled(place, count) for place, count in ((small, FEW), (large, many))]
        asked = zip(looks(small, FEW).items(), looks(large, many).values(), strict=True)
        for (words, of_few), of_many in asked:
            few, most = in_turn(times, of_few, of_many)
            yield at_most(
                f"{words}, {many} waiting", most * 1000, few * 1000, MOST, unit="ms", name=f"{FEW} waiting"
            )
    yield behind[-1]


def filled(place: Ours, count: int) -> Figure:
    """Its queue has so many jobs, and Prefect shows those that it shows."""
    place.create_queue(queue_of(count), enabled=False)
    fill(place, queue_of(count), count)
    return lag(place, queue_of(count), count)


def queue_of(count: int) -> str:
    return f"waiting{count}"


def fill(place: Ours, queue: str, count: int) -> None:
    """As the facade writes them, but in one transaction: one is enqueued, the others are copies of it."""
    with place.here.client() as client:
        first = client.enqueue(queue, "command", {"command": "true"}).id
    with closing(sqlite3.connect(place.here.state / "batchd.db", timeout=60)) as database, database:
        columns = [row[1] for row in database.execute("pragma table_info(jobs)")]
        kept = ", ".join(name for name in columns if name not in ("id", "seq", "mirrored"))
        database.execute(
            f"insert into jobs (seq, {kept}) with recursive n(i) as (select 1 union all select i + 1 from n "
            f"where i < ?) select seq + i, {kept} from jobs, n where id = ?",
            (count - 1, first),
        )
        if count <= 1:
            return
    until("the copies to be seen", lambda: place.count(queue, "new") >= count)


def looks(place: Ours, count: int) -> dict[str, Callable[[], object]]:
    client = place.here.client()
    return {
        "GET /stats": client.stats,
        "the first page of a list": lambda: client.jobs(queue_of(count), limit=100),
        "a decision of the planner": planner(place),
    }


def in_turn(times: int, *asked: Callable[[], object]) -> list[float]:
    """The median seconds of each: what else the machine does meets all of them."""
    rounds = [[timed(ask) for ask in asked] for _ in range(times)]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def planner(place: Ours) -> Callable[[], object]:
    database = Database(f"sqlite:///{place.here.state / 'batchd.db'}")
    world = WorldStore(database, JobTypes([COMMAND]), {}, ZoneInfo("UTC"))
    return lambda: plan(world.look(datetime.now(UTC), prefect_down=None).world)


def timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began
