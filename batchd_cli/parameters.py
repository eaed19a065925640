"""Kinds of values that several commands take."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from batchd_cli.common import Common
from batchd_cli.errors import TimeSyntaxError
from batchd_cli.lazy import heavy
from batchd_cli.output import local_time
from batchd_cli.session import Session

STATUSES = ("New", "Waiting", "Processing", "Done", "Failed", "Postponed")

STATUS = click.Choice(STATUSES, case_sensitive=False)
STATUS_OR_ALL = click.Choice((*STATUSES, "all"), case_sensitive=False)


@dataclass(frozen=True, kw_only=True)
class StartTime:
    """A start time as given: None is "any", and past is one that has gone by."""

    at: datetime | None
    past: bool = False


class TimeType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """TIME of the contract, in local time."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StartTime:
        if isinstance(value, StartTime):
            return value
        times = heavy("times")
        common = ctx.find_object(Common) if ctx else None
        clock = times.system_clock(UTC if common and common.utc else None)
        try:
            at = times.parse(str(value), clock)
        except TimeSyntaxError as error:
            raise click.BadParameter(str(error), ctx, param) from error
        return StartTime(at=at, past=at is not None and at < clock.now.astimezone(UTC))


TIME = TimeType()


def warn_of_past(session: Session, start: StartTime | None) -> None:
    """`--at 22:00` said at 23:00 is today's, as it was in the original: the job starts at once."""
    if start and start.at and start.past:
        session.warn(f"{local_time(start.at)} is past: the job may start at once")


class DurationType(click.ParamType):  # type: ignore[type-arg]  # as above
    """`90`, `90s`, `10m`, `2h`, `1d`, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).lower())
        if not match:
            raise click.BadParameter(f"{value!r} is no duration; write for example 90, 10m or 2h", ctx, param)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


DURATION = DurationType()


class AutostartType(click.ParamType):  # type: ignore[type-arg]  # as above
    """`N`, or a word for none; -1 stands for none, so that it differs from "not given"."""

    name = "autostart"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).lower()
        if text in ("no", "disable", "false"):
            return NO_AUTOSTART
        if text.isdecimal() and int(text) > 0:
            return int(text)
        sentence = f"{value!r} is neither a number of jobs nor no, disable or false"
        raise click.BadParameter(sentence, ctx, param)


NO_AUTOSTART = -1
AUTOSTART = AutostartType()


def name_and_value(text: str) -> tuple[str, str]:
    """`NAME=VALUE`; without `=` the value is empty."""
    name, _, value = text.partition("=")
    if not name:
        raise click.UsageError(f"-p {text!r} names no parameter; write NAME=VALUE")
    return name, value
