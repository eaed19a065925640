"""What must hold after every fault, read from the database, the witness, Prefect's API and /proc.

I1 each accepted job has one row and rests; I2 the witness saw what the attempts say, never two at once;
I3 no live flow run without a living attempt; I4 the slots in Prefect are those of the living attempts;
I5 output has no hole that nobody marked; I6 a machine of ours is on for a job, or has been without one for
less than its `shutdown_timeout`; I7 no process is left.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from batchd_api.called import IS_CALLED
from batchd_api.db.host_tables import hosts
from batchd_api.db.tables import IS_ALIVE, attempts, flow_runs, installation, jobs, output
from batchd_api.statuses import AttemptState
from tests.records import OVERLAP, Records

RESTING = frozenset({"Done", "Failed", "New", "Postponed"})
SECONDS = 60.0
LIVE = ("PENDING", "RUNNING", "CANCELLING")
PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`accepted`: jobs that were promised and not deleted. `place`: a path that every process of ours names.

    `alive`: processes that may live on, such as the daemons. `machines_on`: of which hosts, really; looked at
    each time. `shutdown_timeouts`: of all hosts that a controller starts and stops, in seconds.
    """

    records: Records
    api_url: str
    auth_string: str
    accepted: Collection[int]
    place: Path
    alive: Collection[int] = ()
    machines_on: Callable[[], Collection[str]] = tuple
    shutdown_timeouts: Mapping[str, float] = field(default_factory=dict)


def assert_invariants(evidence: Evidence, seconds: float = SECONDS) -> None:
    """What comes to rest is waited for; what can never be right again fails at once."""
    deadline = time.monotonic() + seconds
    while unrest := list(_unrest(evidence)):
        assert time.monotonic() < deadline, "\n".join(unrest)
        time.sleep(0.2)
    wrongs = [*_witness(evidence), *_holes(evidence)]
    assert not wrongs, "\n".join(wrongs)


def _unrest(evidence: Evidence) -> Iterator[str]:
    yield from _rows(evidence)
    living = {(row.job_id, row.number) for row in evidence.records.rows(select(attempts).where(IS_ALIVE))}
    if living:
        yield f"I1: attempts that still live: {sorted(living)}"
    yield from _live_runs(evidence, living)
    yield from machines_at_odds(evidence)
    for pid, words in left(evidence.place).items():
        if pid not in evidence.alive:
            yield f"I7: process {pid} is left: {words}"


def _rows(evidence: Evidence) -> Iterator[str]:
    rows = evidence.records.rows(select(jobs.c.id, jobs.c.status))
    statuses = {row.id: row.status for row in rows}
    assert len(statuses) == len(rows)
    for job_id in evidence.accepted:
        status = statuses.get(job_id, "no row")
        if status not in RESTING:
            yield f"I1: job {job_id} is {status}"


def _live_runs(evidence: Evidence, living: set[tuple[int, int]]) -> Iterator[str]:
    """I3 and I4: a slot of a pool is a run that is Pending or Running there."""
    records = evidence.records
    known = {row.id: (row.job_id, row.attempt) for row in records.rows(select(flow_runs))}
    seen = set()
    try:
        for run in _ask_for_live_runs(evidence):
            mine = known.get(run["id"])
            seen.add(mine)
            if mine not in living:
                yield f"I3: run {run['name']} is {run['state_name']}, and {mine} does not live"
    except (httpx.HTTPError, OSError) as error:
        yield f"I3: Prefect cannot be asked: {error!r}"
    for mine in living - seen:
        yield f"I4: attempt {mine} lives and holds no slot in Prefect"


def machines_at_odds(evidence: Evidence) -> Iterator[str]:
    """I6. A machine that was on before us is nobody's to stop."""
    if not evidence.shutdown_timeouts:
        return
    query = select(attempts.c.host_name).where(attempts.c.state == AttemptState.RUNNING)
    busy = {row.host_name for row in evidence.records.rows(query)} & set(evidence.shutdown_timeouts)
    called = {row.host_name for row in evidence.records.rows(select(jobs.c.host_name).where(IS_CALLED))}
    entries = {row.name: row for row in evidence.records.rows(select(hosts))}
    on = set(evidence.machines_on())
    for name in sorted(busy - on):
        yield f"I6: host {name} has jobs and is off"
    for name in sorted(on - busy - called):
        entry = entries.get(name)
        if entry is None or (entry.ours and not _is_idle_for_less(entry, evidence.shutdown_timeouts[name])):
            yield f"I6: host {name} is on and has no jobs; the ledger says {entry}"


def _is_idle_for_less(entry: Any, seconds: float) -> bool:
    if entry.idle_since is None:
        return False
    idle = datetime.now(UTC) - entry.idle_since
    return idle <= timedelta(seconds=seconds)


def _ask_for_live_runs(evidence: Evidence) -> list[dict[str, str]]:
    """Of this installation, whether our books know them or not."""
    (ours,) = evidence.records.rows(select(installation.c.id))
    wanted = {"flow_runs": {"state": {"type": {"any_": list(LIVE)}}}, "limit": PAGE}
    user, _, password = evidence.auth_string.partition(":")
    with httpx.Client(auth=(user, password), timeout=10, trust_env=False) as client:
        answer = client.post(f"{evidence.api_url}/flow_runs/filter", json=wanted)
    answer.raise_for_status()
    runs: list[dict[str, str]] = answer.json()
    assert len(runs) < PAGE
    return [run for run in runs if f":{ours.id}:" in (run["idempotency_key"] or "")]


def _witness(evidence: Evidence) -> Iterator[str]:
    """I2. A command that a signal ended may not have come to speak; any other has, once."""
    testimony = evidence.records.testimony()
    for what, job_id, number in testimony:
        if what == OVERLAP:
            yield f"I2: attempt {number} of job {job_id} began while another of it lived"
    starts = Counter((job_id, number) for what, job_id, number in testimony if what == "start")
    spoke = {job_id for _, job_id, _ in testimony}
    rows = {(row.job_id, row.number): row for row in evidence.records.rows(select(attempts))}
    for mine, count in starts.items():
        if count != 1:
            yield f"I2: attempt {mine} began {count} times"
        if mine not in rows and mine[0] in evidence.accepted:
            yield f"I2: {mine} began and no attempt says so"
    for mine, row in rows.items():
        exited = row.exit_code is not None and row.exit_code >= 0 and row.reason is None
        if row.job_id in spoke and exited and starts[mine] != 1:
            yield f"I2: attempt {mine} exited with {row.exit_code} and began {starts[mine]} times"


def _holes(evidence: Evidence) -> Iterator[str]:
    """I5: each stream from its first byte to the count in its attempt's row, unless it was marked as cut."""
    query = select(output.c.job_id, output.c.attempt, output.c.stream, output.c.offset, output.c.data)
    reached: Counter[tuple[int, int, str]] = Counter()
    for row in evidence.records.rows(query.order_by(output.c.id)):
        stream = (row.job_id, row.attempt, row.stream)
        if row.offset != reached[stream]:
            yield f"I5: {stream} goes on at {row.offset} where {reached[stream]} was to come"
        reached[stream] = row.offset + len(row.data)
    for row in evidence.records.rows(select(attempts)):
        for name in ("stdout", "stderr"):
            told, there = getattr(row, f"{name}_bytes"), reached[row.job_id, row.number, name]
            if told != there and not row.output_cut:
                yield f"I5: {row.job_id}.{row.number} tells of {told} bytes of {name}, {there} are there"


def left(place: Path) -> dict[int, str]:
    """Processes that name this folder in their command line or environment: id → command line."""
    wanted = str(place).encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if wanted in words or wanted in (folder / "environ").read_bytes():
                found[int(folder.name)] = words.replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    return found
