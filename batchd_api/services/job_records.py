"""Jobs as clients see them: the row with its latest execution and the end of that one's output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, and_, case, func, select

from batchd_api.db.tables import attempts, flow_runs, jobs, output
from batchd_api.statuses import JobStatus
from batchd_api.times import format_time

TAIL_BYTES = 64 * 1024
# A list of thousands of jobs must not become hundreds of megabytes: its jobs share this much.
LIST_TAIL_BYTES = 16 * 1024 * 1024
MIN_TAIL_BYTES = 1024

_WITH_REASON = (JobStatus.NEW, JobStatus.WAITING, JobStatus.POSTPONED, JobStatus.FAILED)


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The end of one stream, and when its last bytes came."""

    text: str
    time: datetime


def job_records(
    connection: Connection, *where: ColumnElement[bool], order: list[Any]
) -> list[dict[str, Any]]:
    """Two statements, however many jobs there are."""
    newest_run = (
        select(flow_runs.c.id)
        .where(flow_runs.c.job_id == jobs.c.id, ~flow_runs.c.gone)
        .order_by(flow_runs.c.attempt.desc(), flow_runs.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(jobs, attempts.c.ended_at, attempts.c.exit_code, newest_run.label("flow_run_id"))
        .join_from(jobs, attempts, _latest_attempt(), isouter=True)
        .where(*where)
        .order_by(*order)
    )
    rows = connection.execute(query).mappings().all()
    ran = sum(1 for row in rows if row["attempt"])
    tails = _tails(connection, where, _tail_bytes(ran)) if ran else {}
    return [_record(row, tails.get(row["id"], {})) for row in rows]


def _tail_bytes(job_count: int) -> int:
    return max(MIN_TAIL_BYTES, min(TAIL_BYTES, LIST_TAIL_BYTES // (2 * max(job_count, 1))))


def _latest_attempt() -> ColumnElement[bool]:
    return and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt)


def _tails(
    connection: Connection, where: tuple[ColumnElement[bool], ...], limit: int
) -> Mapping[int, Mapping[str, Tail]]:
    """Job → stream → tail. No row that lies before the tail is read."""
    size = func.length(output.c.data)
    end = case((output.c.stream == "stdout", attempts.c.stdout_bytes), else_=attempts.c.stderr_bytes)
    last_bytes = func.substr(
        output.c.data, case((size > limit, size - limit + 1), else_=1), type_=LargeBinary
    )
    query = (
        select(output.c.job_id, output.c.stream, output.c.time, output.c.offset, size, last_bytes)
        .join_from(jobs, attempts, _latest_attempt())
        .join(output, and_(output.c.job_id == jobs.c.id, output.c.attempt == jobs.c.attempt))
        .where(*where, output.c.offset + size > end - limit)
        .order_by(output.c.job_id, output.c.id)
    )
    pieces: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for job_id, stream, *piece in connection.execute(query):
        pieces[job_id, stream].append(piece)
    found: dict[int, dict[str, Tail]] = defaultdict(dict)
    for (job_id, stream), rows in pieces.items():
        found[job_id][stream] = _tail(rows, limit)
    return found


def _tail(rows: list[Any], limit: int) -> Tail:
    first_time, first_offset, first_size, first_data = rows[0]
    data = b"".join(row[3] for row in rows)
    is_cut = first_offset + first_size - len(first_data) > 0 or len(data) > limit
    return Tail(text=decode_tail(data[-limit:], is_cut=is_cut), time=max(first_time, rows[-1][0]))


def decode_tail(data: bytes, *, is_cut: bool) -> str:
    """Text that does not begin with the rest of a character that was cut."""
    skip = 0
    while is_cut and skip < min(3, len(data)) and data[skip] & 0xC0 == 0x80:
        skip += 1
    return data[skip:].decode("utf-8", errors="replace")


def _record(row: Any, tails: Mapping[str, Tail]) -> dict[str, Any]:
    last_output = max((tail.time for tail in tails.values()), default=None)
    return {
        "id": row["id"],
        "queue": row["queue_name"],
        "type": row["type_name"],
        "seq": row["seq"],
        "user_name": row["user_name"],
        "create_time": format_time(row["create_time"]),
        "start_time": format_time(row["start_time"]),
        "status": row["status"],
        "try_count": row["try_count"],
        "host_name": row["host_name"],
        "notes": row["notes"],
        "result_time": format_time(row["ended_at"] or last_output),
        "exit_code": row["exit_code"],
        "stdout": _text(row, tails, "stdout"),
        "stderr": _text(row, tails, "stderr"),
        "params": row["params"],
        "reason": _reason(row),
        "flow_run_id": row["flow_run_id"],
    }


def _text(row: Any, tails: Mapping[str, Tail], stream: str) -> str | None:
    if not row["attempt"]:
        return None
    return tails[stream].text if stream in tails else ""


def _reason(row: Any) -> dict[str, Any] | None:
    if row["reason_code"] is None or row["status"] not in _WITH_REASON:
        return None
    until = format_time(row["reason_until"])
    return {"code": row["reason_code"], "text": row["reason_text"] or "", "until": until}
