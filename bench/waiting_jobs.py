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
    many = 1000 if site.quick else MANY
    seconds: dict[int, dict[str, float]] = {}
    for count in (FEW, many):
        with site.ours() as place:
            queue = f"waiting{count}"
            place.create_queue(queue, enabled=False)
            fill(place, queue, count)
            behind = lag(place, queue, count)
            seconds[count] = looked_at(place, queue, 3 if site.quick else 31)
    for words, theirs in seconds[FEW].items():
        yield at_most(
            f"{words}, {many} waiting", seconds[many][words] * 1000, theirs * 1000, MOST,
            unit="ms", name=f"{FEW} waiting",
        )  # fmt: skip
    yield behind


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


def looked_at(place: Ours, queue: str, times: int) -> dict[str, float]:
    with place.here.client() as client:
        asked: dict[str, Callable[[], object]] = {
            "GET /stats": client.stats,
            "the first page of a list": lambda: client.jobs(queue, limit=100),
            "a decision of the planner": planner(place),
        }
        return {words: median(timed(ask) for _ in range(times)) for words, ask in asked.items()}


def planner(place: Ours) -> Callable[[], object]:
    database = Database(f"sqlite:///{place.here.state / 'batchd.db'}")
    world = WorldStore(database, JobTypes([COMMAND]), {}, ZoneInfo("UTC"))
    return lambda: plan(world.look(datetime.now(UTC), prefect_down=None).world)


def timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began
