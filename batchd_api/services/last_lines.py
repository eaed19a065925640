"""The last lines of an execution's output, for people who are told of its end elsewhere."""

from __future__ import annotations

from sqlalchemy import Connection, select

from batchd_api.db.tables import output

LINES = 20
MAX_LINE = 300
ROWS = 8  # of at most 64 KiB; chatty commands write larger ones


def last_lines(connection: Connection, job_id: int, attempt: int, lines: int = LINES) -> str:
    """Both streams as they came; empty for none."""
    query = select(output.c.data).where(output.c.job_id == job_id, output.c.attempt == attempt)
    rows = connection.execute(query.order_by(output.c.id.desc()).limit(ROWS)).scalars().all()
    text = b"".join(reversed(rows)).decode("utf-8", errors="replace")
    shown = [_printable(line)[:MAX_LINE] for line in text.replace("\r", "\n").split("\n")]
    return "\n".join([line for line in shown if line.strip()][-lines:])


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else " " for c in line).rstrip()
