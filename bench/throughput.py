"""Jobs that run `true`, enqueued before the clock starts: ours, a stock worker, and the bare calls alone."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any
from uuid import uuid4

import httpx

from bench.figures import Figure, at_least, below
from bench.places import Ours, Stock, until
from bench.site import Site

STOCK_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Sizes:
    jobs: int = 120
    stock_jobs: int = 4
    rounds: int = 5


QUICK = Sizes(jobs=6, stock_jobs=1, rounds=1)


def measure(site: Site) -> Iterator[Figure]:
    sizes = QUICK if site.quick else Sizes()
    stock_rates = stock_rates_of(site, sizes.stock_jobs)
    with site.ours(workers=4) as place:
        for limit, least in ((1, 60), (4, 30)):
            rates = our_rates(place, f"limit{limit}", limit, sizes.jobs)
            for words, rate in (("done", rates.done), ("Completed in Prefect", rates.shown)):
                yield at_least(
                    f"jobs that run `true`, limit {limit}, until all are {words}", rate, stock_rates[limit],
                    least, unit="jobs/s", name="stock process worker",
                )  # fmt: skip
        gaps = gaps_seconds(place, "limit1")
        yield below("from the end of a job to the start of the next, p50", median(gaps), 0.2, unit="s")
        rounds = [one_round(place, number, sizes.jobs) for number in range(sizes.rounds)]
    done, shown, bare, in_pool = (
        max(getattr(one, name) for one in rounds) for name in ("done", "shown", "bare", "in_pool")
    )
    words = f"the same, limit 4, best of {sizes.rounds}, until all are"
    for ours, theirs, end, name in (
        (done, bare, "done", "bare Pending, Running, Completed calls"),
        (shown, bare, "Completed in Prefect", "bare Pending, Running, Completed calls"),
        (shown, in_pool, "Completed in Prefect", "the same bare calls, of runs in a work pool"),
    ):
        yield at_least(f"{words} {end}", ours, theirs, 0.8, unit="jobs/s", name=name)


@dataclass(frozen=True, kw_only=True)
class Round:
    """Jobs a second, one after the other: ours until Done and until Completed in Prefect, and bare calls."""

    done: float
    shown: float
    bare: float
    in_pool: float


def one_round(place: Ours, number: int, jobs: int) -> Round:
    ours = our_rates(place, f"round{number}", 4, jobs)
    bare, in_pool = (bare_rate(place, jobs, in_pool=in_pool) for in_pool in (False, True))
    return Round(done=ours.done, shown=ours.shown, bare=bare, in_pool=in_pool)


def stock_rates_of(site: Site, jobs: int) -> dict[int, float]:
    """By limit. A stock server hangs now and then: a fresh one is measured then, with the hang left out."""
    for _ in range(STOCK_TRIES):
        with suppress(httpx.TransportError), site.stock() as theirs:
            return {limit: stock_rate(theirs, limit, jobs * limit) for limit in (1, 4)}
    raise TimeoutError(f"the stock server hung {STOCK_TRIES} times")


def stock_rate(place: Stock, limit: int, jobs: int) -> float:
    place.set_pool(concurrency_limit=limit, is_paused=True)
    before = place.completed()
    for _ in range(jobs):
        place.create_run()
    began = time.perf_counter()
    place.set_pool(is_paused=False)
    until("the stock worker's jobs", lambda: place.completed() >= before + jobs, pause=0.1)
    return jobs / (time.perf_counter() - began)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Jobs a second: until the last is Done in our database, and until Prefect shows the last Completed."""

    done: float
    shown: float


def our_rates(place: Ours, queue: str, limit: int, jobs: int) -> Rates:
    place.create_queue(queue, enabled=False, max_jobs=limit)
    with place.here.client() as client:
        for _ in range(jobs):
            client.enqueue(queue, "command", {"command": "true"})
        shown_in_prefect(place, queue)
        began = time.perf_counter()
        client.update_queue(queue, enabled=True)
        until("our jobs", lambda: client.queue_stats(queue).get("done", 0) == jobs)
        done = time.perf_counter() - began
    shown_in_prefect(place, queue)
    return Rates(done=jobs / done, shown=jobs / (time.perf_counter() - began))


def shown_in_prefect(place: Ours, queue: str) -> None:
    """Prefect shows what our rows say."""

    def look() -> bool:
        with closing(sqlite3.connect(place.here.state / "batchd.db")) as database:
            query = "select count(*) from jobs where queue_name = ? and version != mirrored"
            return database.execute(query, (queue,)).fetchone() == (0,)

    until("the mirror", look)


def gaps_seconds(place: Ours, queue: str) -> list[float]:
    spans = place.spans(f"queue_name = '{queue}'")
    return [started - ended for (_, ended), (started, _) in pairwise(spans)]


def bare_rate(place: Ours, jobs: int, *, in_pool: bool = False) -> float:
    """The three writes a job, by one client, on the server that ours uses too.

    `in_pool`: of runs that a deployment has in a work pool, as those of our jobs are; it costs Prefect more.
    """
    user, password = (place.here.state / "prefect-auth").read_text().strip().split(":", 1)
    url = f"http://127.0.0.1:{place.here.prefect_port}/api"
    with httpx.Client(base_url=url, auth=(user, password), timeout=60, trust_env=False) as client:
        flow = post(client, "/flows/", {"name": "bare"})["id"]
        path, body = in_work_pool(client, flow) if in_pool else ("/flow_runs/", {"flow_id": flow})
        runs = [post(client, path, body)["id"] for _ in range(jobs)]
        began = time.perf_counter()
        for run in runs:
            for state in ("PENDING", "RUNNING", "COMPLETED"):
                post(client, f"/flow_runs/{run}/set_state", {"state": {"type": state}})
        return jobs / (time.perf_counter() - began)


def in_work_pool(client: httpx.Client, flow: str) -> tuple[str, dict[str, Any]]:
    """Where a run is made of a deployment in a pool that nobody serves, and with what."""
    name = f"bare-{uuid4()}"
    post(client, "/work_pools/", {"name": name, "type": "process"})
    deployment = post(client, "/deployments/", {"name": name, "flow_id": flow, "work_pool_name": name})
    return f"/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}}


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """Once more where the server's database was locked (503), or its daemon started it again meanwhile."""
    answers = list[httpx.Response]()

    def accepted() -> bool:
        try:
            answers.append(client.post(path, json=body))
        except httpx.TransportError:
            return False
        return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

    until(f"an answer to {path}", accepted, pause=0.01)
    return answers[-1].raise_for_status().json()
