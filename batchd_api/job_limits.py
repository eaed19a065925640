"""The limits that a body may give a job of its own, and how a job's record shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchd_api.errors import Invalid
from batchd_flows.limits import Limits
from batchd_infra.quantities import MAX_DURATION_SECONDS, MAX_SIZE_BYTES, bytes_of, seconds_of

DURATIONS = {"timeout": "timeout_seconds", "silence": "silence_seconds", "kill_after": "kill_after_seconds"}
SIZE = "output_limit"


def limits_in(body: Mapping[str, Any]) -> Limits:
    """`timeout`, `silence`, `kill_after`, `output_limit`: numbers, or texts as people write them."""
    return Limits(
        **{column: _seconds(body, key) for key, column in DURATIONS.items()},
        output_limit_bytes=_bytes(body, SIZE),
    )


def shown_limits(row: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds and bytes; null where the job says nothing of its own."""
    seconds = {key: row[column] for key, column in DURATIONS.items()}
    return {**seconds, SIZE: row["output_limit_bytes"]}


def _seconds(body: Mapping[str, Any], key: str) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    seconds = seconds_of(value) if isinstance(value, str) else _number(value)
    if seconds is None or not 0 <= seconds <= MAX_DURATION_SECONDS:
        raise Invalid(f'"{key}" must be a number of seconds, or a duration such as "10 min" or "2 h".')
    return seconds


def _bytes(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    size = bytes_of(value) if isinstance(value, str) else value
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE_BYTES:
        raise Invalid(f'"{key}" must be a number of bytes, or a size such as "500M" or "2G".')
    return size


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value > MAX_DURATION_SECONDS:
        return None
    return float(value)
