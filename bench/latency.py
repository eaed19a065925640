"""From the answer to an enqueue to the command's first moment, on an idle system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.figures import Figure, below, percentile
from bench.places import Ours, Stock, ours, stock, until


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    samples = 3 if quick else 30
    with stock(folder / "stock") as theirs:
        stock_seconds = [stock_latency(theirs) for _ in range(1 if quick else 5)]
    with ours(folder / "ours") as place:
        our_seconds = [our_latency(place) for _ in range(samples)]
    against = f"stock process worker: p50 {median(stock_seconds):.3g} s"
    yield below(
        "from the enqueue's answer to the command, p50", median(our_seconds), 0.3, unit="s", against=against
    )
    yield below("the same, p95", percentile(our_seconds, 95), 1, unit="s")


def our_latency(place: Ours) -> float:
    with place.here.client() as client:
        job = client.enqueue("default", "command", {"command": "date", "args": "+%s.%N"})
        answered = time.time()
        return float(job.wait(60).stdout or 0) - answered


def stock_latency(place: Stock) -> float:
    said = place.folder / "said"
    said.unlink(missing_ok=True)
    place.create_run(where=str(said))
    answered = time.time()
    until("the stock worker's run", lambda: said.exists() and said.read_text().endswith("\n"))
    return float(said.read_text()) - answered
