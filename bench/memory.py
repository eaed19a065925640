"""What a running job adds, with a hundred at once; a stock worker has a Python process for each."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure, below
from bench.places import Ours, Stock, pss_mib, until
from bench.site import Site

SLEEPER = "sleep 600"


def measure(site: Site) -> Iterator[Figure]:
    jobs = 4 if site.quick else 100
    with site.stock() as theirs:
        stock_mib = stock_process(theirs)
    with site.ours(workers=jobs) as place:
        added = our_growth(place, jobs) / jobs
    yield below(
        f"memory that a running job adds, {jobs} at once (PSS)", added, 3, unit="MiB",
        against=f"stock process worker: {stock_mib:.3g} MiB",
    )  # fmt: skip


def our_growth(place: Ours, jobs: int) -> float:
    """Supervisors and dispatcher; the commands themselves and Prefect's server are not counted."""
    place.create_queue("asleep", max_jobs=jobs)
    before = pss_mib(counted(place, SLEEPER))
    with place.here.client() as client:
        numbers = [client.enqueue("asleep", "command", {"command": SLEEPER}).id for _ in range(jobs)]
        until("all to run", lambda: client.queue_stats("asleep").get("processing", 0) == jobs, pause=0.2)
        grown = pss_mib(counted(place, SLEEPER)) - before
        for number in numbers:
            client.cancel_job(number)
        until("all to end", lambda: client.queue_stats("asleep").get("failed", 0) == jobs, pause=0.2)
    return grown


def counted(place: Ours, command: str) -> set[int]:
    """Ours alone: neither the jobs' command nor Prefect's server."""
    return {
        pid
        for pid, words in place.pids().items()
        if words != command and "prefect server" not in words and "uvicorn" not in words
    }


def stock_process(place: Stock) -> float:
    """One more process, with what it shares: server and worker are there before."""
    before, said = place.pids(), place.folder / "asleep"
    place.create_run(where=str(said), seconds=5)
    until("the stock worker's run", said.exists)
    return max(pss_mib({pid}) for pid in place.pids() - before)
