"""Counts that only grow, kept in the database with what they count: each process and restart adds to them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from batchd_api.db.tables import queues, tallies
from batchd_api.services.run_times import upsert
from batchd_flows.run import Outcome

MAX_DETAIL_LENGTH = 64
BUCKETS_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0, 7 * 86_400.0)
LAST_BUCKET = "+Inf"

STARTS, ENDS, FAILURES = "starts", "ends", "failures"
WAIT_BUCKET, WAIT_SUM = "wait_bucket", "wait_sum"
RUN_BUCKET, RUN_SUM = "run_bucket", "run_sum"
PLANS, PLAN_SECONDS, MIRROR_LAG = "plans", "plan_seconds", "mirror_lag"
HOST_STARTS, HOST_ON_SECONDS = "host_starts", "host_on_seconds"


@dataclass(frozen=True, kw_only=True, order=True)
class Tally:
    """`detail` is what the name is divided by besides queue and type."""

    name: str
    queue: str = ""
    type: str = ""
    detail: str = ""
    value: float = 1


def add(connection: Connection, counted: Iterable[Tally]) -> None:
    """Always in the same order, so that two who add never wait for each other."""
    for one in sorted(counted):
        made = upsert(connection, tallies).values(_row(one))
        grown = {"value": tallies.c.value + one.value}
        connection.execute(made.on_conflict_do_update(index_elements=_KEY, set_=grown))


def put(connection: Connection, one: Tally) -> None:
    """A value that may also fall."""
    made = upsert(connection, tallies).values(_row(one))
    connection.execute(made.on_conflict_do_update(index_elements=_KEY, set_={"value": one.value}))


def read(connection: Connection) -> dict[str, list[Tally]]:
    """By their names."""
    found: dict[str, list[Tally]] = {}
    for row in connection.execute(select(tallies)).mappings():
        one = Tally(
            name=row["name"],
            queue=row["queue_name"],
            type=row["type_name"],
            detail=row["detail"],
            value=row["value"],
        )
        found.setdefault(one.name, []).append(one)
    return found


def forget_deleted_queues(connection: Connection) -> None:
    """What was counted of queues that are gone: or the table would grow with each name that ever was."""
    names = select(queues.c.name)
    connection.execute(delete(tallies).where(tallies.c.queue_name != "", tallies.c.queue_name.not_in(names)))


def of_a_start(queue: str, job_type: str, *, may_run_since: datetime, at: datetime) -> list[Tally]:
    seconds = max(0.0, (at - may_run_since).total_seconds())
    return [
        Tally(name=STARTS, queue=queue, type=job_type),
        Tally(name=WAIT_BUCKET, queue=queue, detail=bucket_of(seconds)),
        Tally(name=WAIT_SUM, queue=queue, value=seconds),
    ]


def of_an_end(
    queue: str, job_type: str, outcome: Outcome, *, cancelled: bool, seconds: float | None
) -> list[Tally]:
    """`seconds` None: its command never started."""
    word = "done" if outcome.succeeded else "cancelled" if cancelled else "failed"
    counted = [Tally(name=ENDS, queue=queue, type=job_type, detail=word)]
    if not outcome.succeeded:
        why = failure_of(outcome, cancelled=cancelled, started=seconds is not None)
        counted.append(Tally(name=FAILURES, queue=queue, type=job_type, detail=why))
    if seconds is not None:
        counted.append(Tally(name=RUN_BUCKET, type=job_type, detail=bucket_of(seconds)))
        counted.append(Tally(name=RUN_SUM, type=job_type, value=max(0.0, seconds)))
    return counted


FAILURE_REASONS = ("cancelled", "timeout", "silence", "signal", "exit-code", "not-started", "lost")


def failure_of(outcome: Outcome, *, cancelled: bool, started: bool) -> str:
    """One of a closed list: a label of a metric must not grow with the texts of errors."""
    reason = outcome.reason or ""
    if cancelled:
        return "cancelled"
    if reason in ("timeout", "silence"):
        return reason
    if not started:
        return "not-started"
    if outcome.exit_code is None:
        return "lost"
    is_signal = outcome.exit_code < 0 or reason.startswith("ended by ")
    return "signal" if is_signal else "exit-code"


def bucket_of(seconds: float) -> str:
    place = bisect_left(BUCKETS_SECONDS, seconds)
    return LAST_BUCKET if place == len(BUCKETS_SECONDS) else f"{BUCKETS_SECONDS[place]:g}"


def cumulative(counts: Mapping[str, float]) -> list[tuple[str, float]]:
    """What each bucket and those below it hold, as histograms are told."""
    names = [*(f"{bound:g}" for bound in BUCKETS_SECONDS), LAST_BUCKET]
    total, found = 0.0, []
    for name in names:
        total += counts.get(name, 0)
        found.append((name, total))
    return found


_KEY = ["name", "queue_name", "type_name", "detail"]


def _row(one: Tally) -> dict[str, str | float]:
    name, queue, job_type, detail, value = astuple(one)
    return {
        "name": name,
        "queue_name": queue,
        "type_name": job_type,
        "detail": detail[:MAX_DETAIL_LENGTH],
        "value": float(value),
    }
