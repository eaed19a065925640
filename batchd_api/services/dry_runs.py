"""What an enqueue would make of a command, with nothing stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batchd_api.errors import Invalid
from batchd_api.planner import BrokenSchedule
from batchd_api.schemas import NewJob
from batchd_api.services.ground import Ground, sentence_of
from batchd_api.times import format_time
from batchd_api.world import usable_schedule
from batchd_flows.command_lines import compile_command
from batchd_flows.errors import FlowsError
from batchd_flows.job_types import JobType, ParameterType
from batchd_flows.parameters import integer_problem
from batchd_flows.windows import next_opening

MASK = "***"
NUMBER_MASK = "0"
FILES = (ParameterType.INPUT_FILE, ParameterType.OUTPUT_FILE)


def preview(
    ground: Ground, job_type: JobType, params: Mapping[str, str], *, host: str | None, queue: Any, new: NewJob
) -> dict[str, Any]:
    """`params` are checked and `host` is the effective one."""
    shown = _masked(job_type, params)
    opens, earliest = _moments(ground, queue, new.start_time)
    return {
        "command": _command(ground, job_type, shown),
        "host": host,
        "files": [
            {"name": p.name, "type": p.type.value, "path": shown[p.name]}
            for p in job_type.params
            if p.type in FILES and p.name in shown and not p.secret
        ],
        "window_opens": format_time(opens),
        "earliest_start": format_time(earliest),
    }


def _masked(job_type: JobType, params: Mapping[str, str]) -> dict[str, str]:
    """With defaults; the variables of the installation stay out of sight."""
    secrets = {p.name for p in job_type.params if p.secret}
    defaults = {p.name: p.default for p in job_type.params if p.default}
    return {
        name: _mask(value) if name in secrets else value for name, value in {**defaults, **params}.items()
    }


def _mask(value: str) -> str:
    """Where a template reckons with it, only a number can stand for a number."""
    return MASK if integer_problem(value) else NUMBER_MASK


def _command(ground: Ground, job_type: JobType, params: Mapping[str, str]) -> str:
    try:
        command = compile_command(
            job_type,
            params,
            host_variables={},
            global_variables={name: _mask(value) for name, value in ground.variables.items()},
            default_syntax=ground.default_syntax,
        )
    except FlowsError as error:
        raise Invalid(sentence_of(error)) from error
    return command.script


def _moments(ground: Ground, queue: Any, start: datetime | None) -> tuple[datetime | None, datetime | None]:
    """When the window opens next (now, if it is open), and when the job may start at the earliest."""
    now = ground.clock()
    schedule = usable_schedule(queue.schedule_name, queue.weekdays, queue.time)
    if isinstance(schedule, BrokenSchedule):
        return None, None
    earliest = next_opening(schedule, max(now, start or now), ground.zone)
    return next_opening(schedule, now, ground.zone), earliest
