"""The daemon at rest, beside a bare Prefect server with one worker: start, memory, processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bench.figures import Figure, at_most
from bench.places import Ours, cpu_seconds, pss_mib
from bench.site import Site

QUEUES = 10


def measure(site: Site) -> Iterator[Figure]:
    rest = 2.0 if site.quick else 60.0
    with site.stock() as theirs:
        settle(rest)
        stock_memory, stock_start = pss_mib(theirs.pids()), theirs.restart()
    with site.ours() as place:
        create_queues(place)
        settle(rest)
        our_memory, our_start = pss_mib(set(place.pids())), place.restart()
    name = "bare Prefect server and one worker"
    yield at_most("from start to ready, second start", our_start, stock_start, 1.3, unit="s", name=name)
    yield at_most("idle memory (PSS)", our_memory, stock_memory, 1.3, unit="MiB", name=name)
    with site.stock() as theirs, site.ours() as place:
        create_queues(place)
        settle(rest)
        ours, stock = shares(rest, lambda: set(place.pids()), theirs.pids)
    words = f"idle processor, {QUEUES} queues"
    yield at_most(words, ours * 100, stock * 100, 1.5, unit="% of a core", name=name)


def create_queues(place: Ours) -> None:
    with place.here.client() as client:
        there = {queue.name for queue in client.queues()}
    for name in {f"q{number}" for number in range(QUEUES)} - there:
        place.create_queue(name)


def settle(seconds: float) -> None:
    """What a start leaves to do is done before the rest is measured."""
    time.sleep(seconds / 2)


def shares(seconds: float, *sides: Callable[[], set[int]]) -> list[float]:
    """Of one core, in the same seconds: what else the machine does meets them all.

    What ends meanwhile takes its seconds with it: only who lives at the end counts.
    """
    before, began = [cpu_seconds(pids()) for pids in sides], time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - began
    return [(cpu_seconds(pids()) - was) / taken for pids, was in zip(sides, before, strict=True)]
