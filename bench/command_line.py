"""`batch ls` with fifty jobs against the imports that it cannot do without."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from bench.figures import Figure, at_most
from bench.places import BIN
from bench.site import Site

BARE = [sys.executable, "-c", "import click, urllib.request, json"]


def measure(site: Site) -> Iterator[Figure]:
    with site.ours() as place:
        place.create_queue("fifty", enabled=False)
        with place.here.client() as client:
            for _ in range(50):
                client.enqueue("fifty", "command", {"command": "true"})
        listing = [str(BIN / "batch"), "ls", "fifty"]
        environment = place.here.environment
        times = range(2 if site.quick else 9)
        rounds = [(seconds(listing, environment), seconds(BARE, environment)) for _ in times]
    yield at_most(
        "`batch ls` with 50 jobs", median(a for a, _ in rounds), median(b for _, b in rounds), 3.5,
        unit="s", name="import click, urllib.request, json",
    )  # fmt: skip


def seconds(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
