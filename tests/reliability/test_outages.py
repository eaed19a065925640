"""A Prefect server that is killed, and outages longer than every retry. FAULTS.md: A9 A10 A11 A12."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchd_flows.server_marker import read_marker
from tests.acceptance.harness import until
from tests.prefect_server import PrefectServer
from tests.reliability.harness import Site, site
from tests.tcp_proxy import Pass, Refuse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Prefect's own client gives up after 62 s.
OUTAGE_SECONDS = 75
A9_SECONDS = 5


@pytest.fixture
def here(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, prefect_server) as here:
        here.start().ready()
        yield here


@contextmanager
def at_least(seconds: float) -> Iterator[None]:
    """What lasts so long, whatever is done meanwhile."""
    began = time.monotonic()
    yield
    until(seconds + 1, "the time to be over", lambda: time.monotonic() - began >= seconds)


@contextmanager
def killed(server: PrefectServer) -> Iterator[None]:
    marker = read_marker(server.home / "server.json")
    assert marker is not None
    os.killpg(marker.pid, signal.SIGKILL)
    try:
        yield
    finally:
        asyncio.run(server.server.start())


def running(here: Site, word: str) -> int:
    number = here.witness(between=here.until_told(word))
    shown(here, number, "Running")
    return number


def shown(here: Site, number: int, name: str) -> None:
    """The job's run in Prefect, once it is there and in this state."""

    def look() -> bool:
        runs = here.runs(number)
        return bool(runs) and here.prefect(f"/flow_runs/{runs[-1].id}")["state_name"] == name

    until(120, f"job {number} to be shown as {name}", look)


def test_a9_a_server_that_is_killed_for_5_seconds_during_a_job_costs_no_retry(here: Site) -> None:
    number = running(here, "go")
    with killed(here.server), at_least(A9_SECONDS):
        pass
    assert here.job(number).status == "Processing"
    here.tell()
    job = here.status(number, "Done")
    assert (job.try_count, job.attempt) == (0, 1)
    shown(here, number, "Completed")
    assert here.starts() == [number]


def test_a10_a11_a12_an_outage_longer_than_every_retry_is_got_over_with_nobody_there(here: Site) -> None:
    """One job ends in it, one outlives it, others are ordered in it; and people go on working."""
    here.queue("shut", enabled=False)
    ends, outlives = running(here, "end"), running(here, "go")
    here.network.mode = Refuse()
    with at_least(OUTAGE_SECONDS):
        here.tell("end")
        assert here.status(ends, "Done").reason_text is None
        early = here.witness()
        until(60, "the daemon to notice", lambda: "Prefect does not answer" in here.said())
        late = here.witness()
        until(60, "the reason", lambda: here.job(late).reason_code == "prefect-down")
        people_go_on(here)
    assert here.starts() == [ends, outlives]
    assert here.job(late).reason_code == "prefect-down"
    assert here.job(outlives).status == "Processing"
    here.network.mode = Pass()
    shown(here, ends, "Completed")
    for number in (early, late):
        here.status(number, "Done")
    here.tell()
    here.status(outlives, "Done")
    for number in (outlives, early, late):
        shown(here, number, "Completed")
        assert here.job(number).try_count == 0
    assert here.starts() == [ends, outlives, early, late]
    what_watches_prefect_is_back(here)


def people_go_on(here: Site) -> None:
    """Enqueue, view, reorder and delete, by the command line."""
    first, second, third = (here.witness(queue="shut") for _ in range(3))
    here.batch("job", str(third), "--priority", "first")
    here.batch("job", str(second), "--delete")
    here.accepted.remove(second)
    listed = json.loads(here.batch("ls", "shut", "--json"))
    assert [job["id"] for job in listed] == [third, first]
    assert [json.loads(here.batch("job", str(number), "--json"))["status"] for number in (first, third)] == [
        "New",
        "New",
    ]


def what_watches_prefect_is_back(here: Site) -> None:
    """Events and states by hand are seen again: a run that is cancelled there is cancelled here."""
    number = running(here, "never")
    (run,) = here.runs(number)
    here.prefect(f"/flow_runs/{run.id}/set_state", {"state": {"type": "CANCELLING"}})
    assert here.status(number, "Failed").reason_text == "cancelled by a person in Prefect"
