"""The daemon at rest, beside a bare Prefect server with one worker: start, memory, processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bench.figures import Figure, at_most
from bench.places import cpu_seconds, pss_mib
from bench.site import Site

QUEUES = 10


def measure(site: Site) -> Iterator[Figure]:
    rest = 2.0 if site.quick else 60.0
    with site.stock() as theirs:
        settle(rest)
        stock_memory, stock_share = pss_mib(theirs.pids()), share(theirs.pids, rest)
        stock_start = theirs.restart()
    with site.ours() as place:
        for number in range(QUEUES):
            place.create_queue(f"q{number}")
        settle(rest)
        our_memory, our_share = pss_mib(set(place.pids())), share(lambda: set(place.pids()), rest)
        our_start = place.restart()
    name = "bare Prefect server and one worker"
    yield at_most("from start to ready, second start", our_start, stock_start, 1.3, unit="s", name=name)
    yield at_most("idle memory (PSS)", our_memory, stock_memory, 1.3, unit="MiB", name=name)
    words = f"idle processor, {QUEUES} queues"
    yield at_most(words, our_share * 100, stock_share * 100, 1.5, unit="% of a core", name=name)


def settle(seconds: float) -> None:
    """What a start leaves to do is done before the rest is measured."""
    time.sleep(seconds / 2)


def share(pids: Callable[[], set[int]], seconds: float) -> float:
    """Of one core. What ends meanwhile takes its seconds with it: only who lives at the end counts."""
    before, began = cpu_seconds(pids()), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pids()) - before) / (time.monotonic() - began)
