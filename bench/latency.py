"""From the answer to an enqueue to the command's first moment, on an idle system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, below, percentile
from bench.places import Ours, Stock, until
from bench.site import Site
from bench.slurm import Slurm, SlurmMissing, slurm

SLURMS_PAUSE_SECONDS = 4.0  # else its scheduler gathers what comes within three seconds of the job before


def measure(site: Site) -> Iterator[Figure]:
    samples, fewer = (3, 1) if site.quick else (40, 5)
    with site.stock() as theirs:
        stock_seconds = [stock_latency(theirs) for _ in range(fewer)]
    slurm_seconds, missing = slurm_latencies(site, fewer)
    with site.ours() as place:
        our_seconds = [our_latency(place) for _ in range(samples)]
    beside = {"stock process worker": stock_seconds, "Slurm's sbatch": slurm_seconds}
    for words, part, most in (
        ("from the enqueue's answer to the command, p50", 50, 0.3),
        ("the same, p95", 95, 1.0),
    ):
        against = [
            f"{name}: {percentile(seconds, part):.3g} s" if seconds else missing
            for name, seconds in beside.items()
        ]
        yield below(words, percentile(our_seconds, part), most, unit="s", against="; ".join(against))


def our_latency(place: Ours) -> float:
    with place.here.client() as client:
        job = client.enqueue("default", "command", {"command": "date", "args": "+%s.%N"})
        answered = time.time()
        return float(job.wait(60).stdout or 0) - answered


def stock_latency(place: Stock) -> float:
    said = place.folder / "said"
    said.unlink(missing_ok=True)
    place.create_run(where=str(said))
    return said_after(time.time(), said)


def slurm_latencies(site: Site, samples: int) -> tuple[list[float], str]:
    """And why there are none, where there is no Slurm."""
    try:
        with slurm(site.folder() / "slurm") as place:
            return [slurm_latency(place) for _ in range(samples)], ""
    except SlurmMissing as missing:
        return [], str(missing)


def slurm_latency(place: Slurm) -> float:
    time.sleep(SLURMS_PAUSE_SECONDS)
    said = place.folder / "said-by-the-job"
    said.unlink(missing_ok=True)
    place.submit(f"date +%s.%N > {said}")
    return said_after(time.time(), said)


def said_after(answered: float, said: Path) -> float:
    """How long after the answer the command wrote what time it was."""
    until("the command", lambda: said.exists() and said.read_text().endswith("\n"))
    return float(said.read_text()) - answered
