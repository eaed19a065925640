"""REST enqueues with ten thousand jobs waiting and the mirror at work, against Prefect's create_flow_run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Figure, at_least, below, percentile
from bench.places import Ours
from bench.site import Site
from bench.waiting_jobs import fill

CLIENTS = 8


def measure(site: Site) -> Iterator[Figure]:
    waiting, calls = (100, 10) if site.quick else (10_000, 300)
    with site.stock() as theirs:
        theirs.set_pool(is_paused=True)
        stock_rate = 1 / mean(seconds_each(theirs.create_run, calls // 5))
    with site.ours() as place:
        place.create_queue("full", enabled=False)
        fill(place, "full", waiting)
        one = seconds_each(enqueuer(place), calls)
        yield at_least(
            f"enqueues, one client, {waiting} waiting", 1 / mean(one), stock_rate, 5,
            unit="/s", name="create_flow_run",
        )  # fmt: skip
        yield below("the same, p95", percentile(one, 95) * 1000, 25, unit="ms")
        with ThreadPoolExecutor(CLIENTS) as threads:
            turns = [threads.submit(seconds_each, enqueuer(place), calls // 4) for _ in range(CLIENTS)]
            many = [second for turn in turns for second in turn.result()]  # raises at the first error
        words = f"enqueues, {CLIENTS} clients without an error, p95"
        yield below(words, percentile(many, 95) * 1000, 150, unit="ms")


def enqueuer(place: Ours) -> Callable[[], object]:
    client = place.here.client()
    client.enqueue("full", "command", {"command": "true"})
    return lambda: client.enqueue("full", "command", {"command": "true"})


def seconds_each(call: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)
