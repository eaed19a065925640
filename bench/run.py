"""`python -m bench.run [NAME…]`: measures and prints; without names it writes docs/performance.md too."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import command_line, daemon, enqueues, latency, memory, output, throughput, transfer, waiting_jobs
from bench.figures import Figure, page
from bench.holds import HOLDS
from bench.site import Site, site

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
COMMAND = "make bench"
Measure = Callable[[Site], Iterator[Figure]]
MEASURES: Mapping[str, Measure] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "enqueues": enqueues.measure,
    "waiting": waiting_jobs.measure,
    "output": output.measure,
    "command-line": command_line.measure,
    "daemon": daemon.measure,
    "transfer": transfer.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.run")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(MEASURES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it works, not how fast")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(MEASURES):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    figures = list(measured(arguments.names or list(MEASURES), quick=arguments.quick))
    show(figures)
    if not arguments.names and not arguments.quick:
        PAGE.write_text(page(figures, COMMAND, HOLDS), encoding="utf-8")
    return 0


def measured(names: list[str], *, quick: bool) -> Iterator[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="batchd-bench-", ignore_cleanup_errors=True) as folder,
        site(Path(folder), quick=quick) as place,
    ):
        for name in names:
            began = time.monotonic()
            for figure in MEASURES[name](place):
                print(f"{figure.what}: {figure.ours} {figure.ratio}", file=sys.stderr, flush=True)
                yield figure
            print(f"({name}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)


def show(figures: list[Figure]) -> None:
    table = Table("what", "ours", "against", "ratio", "target", "met")
    for one in figures:
        met = {True: "yes", False: "no", None: ""}[one.met]
        table.add_row(one.what, one.ours, one.against, one.ratio, one.target, met)
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
