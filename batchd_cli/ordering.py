"""A job as it is ordered on the command line, by `enqueue` and by `run`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from batchd_cli import completing
from batchd_cli.file_values import placed_files
from batchd_cli.job_calls import Order
from batchd_cli.parameters import TIME, StartTime, name_and_value, warn_of_past
from batchd_cli.records import Parameter
from batchd_cli.session import Session

TAKES_THE_REST = "command"
HOST_HELP = "On this host (default: the type's, the queue's, or here)."

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """What the options of `order_options` say, by their names."""

    values: tuple[str, ...]
    queue: str | None
    job_type: str | None
    host: str | None
    start: StartTime | None
    notes: str | None
    given: tuple[str, ...]
    chdir: str | None
    timeout: str | None
    silence: str | None
    kill_after: str | None
    output_limit: str | None
    notify: tuple[str, ...]


def order_options(function: F) -> F:
    """The values and options; a function takes them as `**options` and makes `Ordered` of them."""
    options = (
        click.argument("values", nargs=-1, metavar="[VALUE]..."),
        click.option(
            *("-q", "--queue"),
            metavar="QUEUE",
            shell_complete=completing.QUEUE,
            help="Into this queue (default: default).",
        ),
        click.option(
            *("-t", "--type", "job_type"),
            metavar="TYPE",
            shell_complete=completing.TYPE,
            help="Of this job type (default: command).",
        ),
        click.option("-h", "--host", metavar="HOST", shell_complete=completing.HOST, help=HOST_HELP),
        click.option("--at", "--start", "start", type=TIME, metavar="TIME", help="Not before this time."),
        click.option("-n", "--notes", metavar="NOTES", help="A remark to find it again by."),
        click.option(
            *("-p", "--parameter", "given"), multiple=True, metavar="NAME=VALUE", help="May be repeated."
        ),
        click.option("--chdir", metavar="DIR", help="Run in this directory (from here, if it is relative)."),
        click.option(
            "--timeout",
            metavar="DURATION",
            help="End it when it runs longer, as in 2h; 0: never.",
        ),
        click.option("--silence", metavar="DURATION", help="End it when it prints nothing for so long."),
        click.option(
            "--kill-after", metavar="DURATION", help="From its being asked to end to its being killed."
        ),
        click.option(
            "--output-limit", metavar="SIZE", help="Keep so much of stdout and of stderr, as in 500M; 0: all."
        ),
        click.option(
            "--notify",
            metavar="EVENTS[:TARGET]",
            multiple=True,
            help="Tell TARGET when it is fail, done or long, as in fail,done:ops. May be repeated.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An order with everything filled in: the arguments of `Client.enqueue`."""

    queue: str
    job_type: str
    params: Mapping[str, str]
    rest: Order


def placed(session: Session, ordered: Ordered) -> Placed:
    """Fill in the settings and the type's parameters; the type is asked for where values need names or may
    be files."""
    config = session.config
    kind = ordered.job_type or config.type
    named = dict(name_and_value(text) for text in ordered.given)
    warn_of_past(session, ordered.start)
    return Placed(
        queue=ordered.queue or config.queue,
        job_type=kind,
        params=_params(session, kind, ordered, named),
        rest={
            "host_name": ordered.host or config.host,
            "start_time": ordered.start.at if ordered.start else None,
            "notes": ordered.notes,
            "working_directory": str(Path(ordered.chdir).absolute()) if ordered.chdir else None,
            "timeout": ordered.timeout,
            "silence": ordered.silence,
            "kill_after": ordered.kill_after,
            "output_limit": ordered.output_limit,
            "notify": list(ordered.notify) or None,
        },
    )


def _params(session: Session, kind: str, ordered: Ordered, named: Mapping[str, str]) -> dict[str, str]:
    if not ordered.values and (kind == TAKES_THE_REST or not any(named.values())):
        return dict(named)
    declared = session.client.job_type(kind).params
    given = {**_positional(session, kind, declared, ordered.values), **named}
    return placed_files(session, declared, given, ordered.chdir)


def _positional(
    session: Session, kind: str, declared: Sequence[Parameter], values: Sequence[str]
) -> dict[str, str]:
    filled, surplus = fill(declared, values, rest=kind == TAKES_THE_REST)
    if surplus:
        session.warn(f"type {kind} has {len(declared)} parameters; ignored: {' '.join(surplus)}")
    return filled


def fill(
    declared: Sequence[Parameter], values: Sequence[str], *, rest: bool
) -> tuple[dict[str, str], Sequence[str]]:
    """Parameters by position, and what is left over; with `rest` the last parameter takes all the rest."""
    names = [one.name for one in declared]
    if rest and names and len(values) > len(names):
        last = len(names) - 1
        values = [*values[:last], " ".join(values[last:])]
    return dict(zip(names, values, strict=False)), values[len(names) :]
