"""The daemon at rest, beside a bare Prefect server with one worker: start, memory, processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Figure, at_most
from bench.places import cpu_seconds, ours, pss_mib, stock
from tests.acceptance.harness import Daemon, Installation, installation, running

QUEUES = 10


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    rest = 2.0 if quick else 60.0
    with stock(folder / "stock") as theirs:
        stock_memory = pss_mib(theirs.pids())
        stock_share = share(theirs.pids, rest)
    with ours(folder / "ours") as place:
        for number in range(QUEUES):
            place.create_queue(f"q{number}")
        settle(rest)
        our_memory = pss_mib(set(place.pids()))
        our_share = share(lambda: set(place.pids()), rest)
    name = "bare Prefect server and one worker"
    with installation(folder / "again") as here:
        with running(here):
            pass
        our_start = second_start(here)
    bare_start = stock_start(folder / "fresh")
    yield at_most("from start to ready, second start", our_start, bare_start, 1.3, unit="s", name=name)
    yield at_most("idle memory (PSS)", our_memory, stock_memory, 1.3, unit="MiB", name=name)
    words = f"idle processor, {QUEUES} queues"
    yield at_most(words, our_share * 100, stock_share * 100, 1.5, unit="% of a core", name=name)


def settle(seconds: float) -> None:
    """What a start leaves to do is done before the rest is measured."""
    time.sleep(seconds / 2)


def share(pids: Callable[[], set[int]], seconds: float) -> float:
    before, began = cpu_seconds(pids()), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pids()) - before) / (time.monotonic() - began)


def second_start(here: Installation) -> float:
    began = time.perf_counter()
    daemon = Daemon(here)
    daemon.ready()
    taken = time.perf_counter() - began
    daemon.stop()
    return taken


def stock_start(folder: Path) -> float:
    """A home that has been used, as ours has."""
    with stock(folder) as place:
        for program in place.programs:
            program.terminate()
            program.wait()
        began = time.perf_counter()
        place.start_server()
        place.start_worker()
        return time.perf_counter() - began
