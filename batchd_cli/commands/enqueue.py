"""`batch enqueue`: a job into a queue."""

from collections.abc import Sequence
from pathlib import Path

import click

from batchd_cli.common import Command
from batchd_cli.parameters import TIME, StartTime, name_and_value, warn_of_past
from batchd_cli.records import Parameter
from batchd_cli.session import Session, pass_session

TAKES_THE_REST = "command"


@click.command("enqueue", cls=Command)
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@click.option("-q", "--queue", metavar="QUEUE", help="Into this queue (default: default).")
@click.option("-t", "--type", "job_type", metavar="TYPE", help="Of this job type (default: command).")
@click.option(
    "-h", "--host", metavar="HOST", help="On this host (default: the type's, the queue's, or here)."
)
@click.option("--at", "--start", "start", type=TIME, metavar="TIME", help="Not before this time.")
@click.option("-n", "--notes", metavar="NOTES", help="A remark to find it again by.")
@click.option("-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@click.option("--chdir", metavar="DIR", help="Run in this directory (from here, if it is relative).")
@pass_session
def command(
    session: Session,
    values: tuple[str, ...],
    queue: str | None,
    job_type: str | None,
    host: str | None,
    start: StartTime | None,
    notes: str | None,
    given: tuple[str, ...],
    chdir: str | None,
) -> None:
    """Put a job into a queue; prints the new job's id.

    VALUEs fill the type's parameters in order; -p wins. For the type "command" the last parameter takes
    all the rest. Write -- before a command that has options of its own.

    \b
    Examples:
      batch enqueue echo hello world
      batch enqueue -q night -- rsync -a /data backup:
      batch enqueue -t blender -p input=scene.blend -p frame=7
      batch enqueue --at "tomorrow 6:00" -n "weekly report" make report
    """
    config = session.config
    kind = job_type or config.type
    named = dict(name_and_value(text) for text in given)
    warn_of_past(session, start)
    number = session.client.enqueue(
        queue or config.queue,
        kind,
        _positional(session, kind, values) | named,
        host_name=host or config.host,
        start_time=start.at if start else None,
        notes=notes,
        working_directory=str(Path(chdir).absolute()) if chdir else None,
    )
    click.echo(number)


def _positional(session: Session, kind: str, values: Sequence[str]) -> dict[str, str]:
    """The values under the names of the type's parameters, which are asked for only then."""
    if not values:
        return {}
    declared = session.client.job_type(kind).params
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
