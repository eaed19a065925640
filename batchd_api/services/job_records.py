"""Jobs as clients see them: the row with its latest execution and the end of that one's output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, and_, case, func, select

from batchd_api.db.tables import NOTE, attempts, flow_runs, jobs, output
from batchd_api.job_limits import shown_limits
from batchd_api.services.expected_ends import job_end, progress_record
from batchd_api.services.ground import Ground
from batchd_api.services.notices import shown
from batchd_api.services.reasons import reasons_of
from batchd_api.services.run_times import usual_seconds
from batchd_api.times import format_time

TAIL_BYTES = 64 * 1024
# A list of thousands of jobs must not become hundreds of megabytes: its jobs share this much.
LIST_TAIL_BYTES = 16 * 1024 * 1024
MIN_TAIL_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The end of one stream, and when its last bytes came."""

    text: str
    time: datetime


def job_records(
    ground: Ground,
    connection: Connection,
    *where: ColumnElement[bool],
    order: Sequence[Any] = (),
    limit: int | None = None,
    tail_bytes: int | None = None,
) -> list[dict[str, Any]]:
    """A few statements, however many jobs there are. `tail_bytes` 0 reads no output at all."""
    newest_run = (
        select(flow_runs.c.id)
        .where(flow_runs.c.job_id == jobs.c.id, ~flow_runs.c.gone)
        .order_by(flow_runs.c.attempt.desc(), flow_runs.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            jobs,
            attempts.c.started_at,
            attempts.c.ended_at,
            attempts.c.exit_code,
            attempts.c.output_cut,
            attempts.c.host_name.label("attempt_host"),
            attempts.c.progress_percent,
            attempts.c.progress_text,
            attempts.c.progress_eta,
            newest_run.label("flow_run_id"),
        )
        .join_from(jobs, attempts, _latest_attempt(), isouter=True)
        .where(*where)
        .order_by(*order)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    ran = [row["id"] for row in rows if row["attempt"]]
    these = where if limit is None else (jobs.c.id.in_(ran),)
    size = _tail_bytes(len(ran)) if tail_bytes is None else min(tail_bytes, _tail_bytes(len(ran)))
    tails = _tails(connection, these, size) if ran and size else {}
    reasons = reasons_of(ground, connection, rows)
    usual = usual_seconds(connection) if any(row["started_at"] for row in rows) else {}
    return [
        _record(ground, row, tails.get(row["id"], {}), reasons.get(row["id"]))
        | {"progress": progress_record(row), "expected_end": format_time(job_end(row, usual))}
        for row in rows
    ]


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
        .where(*where, output.c.stream != NOTE, output.c.offset + size > end - limit)
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


def _record(
    ground: Ground, row: Any, tails: Mapping[str, Tail], reason: dict[str, Any] | None
) -> dict[str, Any]:
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
        "started_time": format_time(row["started_at"]),
        "result_time": format_time(row["ended_at"] or last_output),
        "exit_code": row["exit_code"],
        "stdout": _text(row, tails, "stdout"),
        "stderr": _text(row, tails, "stderr"),
        "params": _shown_params(ground, row),
        "reason": reason,
        "flow_run_id": row["flow_run_id"],
        "flow_run_url": _flow_run_url(ground, row["flow_run_id"]),
        "working_directory": row["working_directory"],
        "notify": shown(row["notify"]),
        **shown_limits(row),
        "output_cut": bool(row["output_cut"]),
    }


def _shown_params(ground: Ground, row: Any) -> dict[str, str]:
    """Without the values of secret parameters."""
    given: dict[str, str] = row["params"]
    if row["type_name"] not in ground.job_types:
        return given
    secrets = {p.name for p in ground.job_types.get(row["type_name"]).params if p.secret}
    return {name: value for name, value in given.items() if name not in secrets}


def _flow_run_url(ground: Ground, run_id: str | None) -> str | None:
    if run_id is None or ground.prefect_ui_url is None:
        return None
    return f"{ground.prefect_ui_url}/runs/flow-run/{run_id}"


def _text(row: Any, tails: Mapping[str, Tail], stream: str) -> str | None:
    if not row["attempt"]:
        return None
    return tails[stream].text if stream in tails else ""
