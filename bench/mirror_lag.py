"""How far Prefect's pages are behind a long queue, and whether /metrics says so."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import httpx

from batchd_api.books import LOOK_AHEAD
from bench.figures import Figure
from bench.places import Ours, until
from tests.acceptance.harness import PASSWORD, USER

METRIC = "batchd_mirror_lag_seconds"
# A look without being woken, the figure's own beat, and a moment: so much may be missing from what is said.
UNSAID_SECONDS = 12.0


def lag(place: Ours, queue: str, waiting: int) -> Figure:
    """Waits until what stands first in the line is shown; that is all of a queue that Prefect shows."""
    began, told = time.monotonic(), 0.0

    def is_level() -> bool:
        nonlocal told
        told = max(told, lag_told(place))
        return unshown(place, queue) == 0

    until("the mirror", is_level, pause=0.5)
    taken = time.monotonic() - began
    return Figure(
        what=f"Prefect shows the first {LOOK_AHEAD} of {waiting} waiting after",
        ours=f"{taken:.3g} s",
        against=f"the longest lag that /metrics said meanwhile: {told:.3g} s",
        target="keeps up or says its lag",
        met=told >= taken - UNSAID_SECONDS,
    )


def lag_told(place: Ours) -> float:
    answer = httpx.get(f"{place.here.url}/metrics", auth=(USER, PASSWORD), timeout=60, trust_env=False)
    return lag_in(answer.raise_for_status().text)


def lag_in(text: str) -> float:
    """The longest of all dispatchers; zero before the first has written one down."""
    lines = [line for line in text.splitlines() if line.startswith(METRIC)]
    return max((float(line.rpartition(" ")[2]) for line in lines), default=0.0)


def unshown(place: Ours, queue: str) -> int:
    query = (
        "select count(*) from (select version != mirrored as due from jobs where queue_name = ?"
        " and status = 'New' order by seq limit ?) where due"
    )
    with closing(sqlite3.connect(place.here.state / "batchd.db", timeout=60)) as database:
        return int(database.execute(query, (queue, LOOK_AHEAD)).fetchone()[0])
