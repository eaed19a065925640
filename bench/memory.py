"""What a running job adds, with a hundred at once; a stock worker has a Python process for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, below
from bench.places import Ours, Stock, ours, pss_mib, stock, until

SLEEPER = "sleep 600"


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    jobs = 4 if quick else 100
    with stock(folder / "stock") as theirs:
        stock_mib = stock_process(theirs)
    with ours(folder / "ours", workers=jobs) as place:
        added = our_growth(place, jobs) / jobs
    yield below(
        f"memory that a running job adds, {jobs} at once (PSS)", added, 3, unit="MiB",
        against=f"stock process worker: {stock_mib:.3g} MiB",
    )  # fmt: skip


def our_growth(place: Ours, jobs: int) -> float:
    """Supervisors and dispatcher; the commands themselves and Prefect's server are not counted."""
    before = pss_mib(counted(place))
    with place.here.client() as client:
        numbers = [client.enqueue("default", "command", {"command": SLEEPER}).id for _ in range(jobs)]
        until("all to run", lambda: client.queue_stats("default").get("processing", 0) == jobs, pause=0.2)
        grown = pss_mib(counted(place)) - before
        for number in numbers:
            client.cancel_job(number)
        until("all to end", lambda: client.queue_stats("default").get("failed", 0) == jobs, pause=0.2)
    return grown


def counted(place: Ours) -> set[int]:
    return {
        pid
        for pid, command in place.here.processes().items()
        if command != SLEEPER and "prefect server" not in command and "uvicorn" not in command
    }


def stock_process(place: Stock) -> float:
    """One more process, with what it shares: server and worker are there before."""
    before = place.pids()
    place.create_run(where=str(place.folder / "said"))
    until("the stock worker's run", (place.folder / "said").exists)
    return max(pss_mib({pid}) for pid in place.pids() - before) if place.pids() - before else 0.0
