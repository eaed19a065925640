"""`batch enqueue`: a job into a queue."""

from typing import Any

import click

from batchd_cli.common import Command
from batchd_cli.ordering import Ordered, Placed, order_options, placed
from batchd_cli.output import cell, print_fields, print_json
from batchd_cli.records import DryRun
from batchd_cli.session import Session, pass_session


@click.command("enqueue", cls=Command)
@order_options
@click.option(
    "--dry-run", is_flag=True, help="Show the command, the host, the files and when; enqueue nothing."
)
@pass_session
def command(session: Session, /, dry_run: bool, **options: Any) -> None:
    """Put a job into a queue; prints the new job's id.

    VALUEs fill the type's parameters in order; -p wins. For the type "command" the last parameter takes
    all the rest, joined with spaces as ssh does it: what a shell shall keep together needs quotes of its own.
    Write -- before a command that has options of its own.

    A relative path for an InputFile or OutputFile parameter is made a full one, from the current folder or
    that of --chdir, where the manager's address is this machine; stderr says so. Any other manager gets it
    as it is, and there is a warning. Input files are looked for when the job starts: one that is missing
    fails it then.

    \b
    Examples:
      batch enqueue echo hello world
      batch enqueue -q night -- rsync -a /data backup:
      batch enqueue -- sh -c "'cd /data && make'"
      batch enqueue -t blender -p input=scene.blend -p frame=7
      batch enqueue --at "tomorrow 6:00" -n "weekly report" make report
      batch enqueue --dry-run -q night make      what would run, where and when
    """
    order = placed(session, Ordered(**options))
    if dry_run:
        _try(session, order)
        return
    number = session.client.enqueue(order.queue, order.job_type, order.params, **order.rest).id
    if session.json:
        print_json({"id": number})
    else:
        click.echo(number)
    session.next_step(f"`batch why {number}` says when it starts, `batch logs {number} -f` follows it")


def _try(session: Session, order: Placed) -> None:
    found = session.client.dry_run(order.queue, order.job_type, order.params, **order.rest)
    if session.json:
        print_json(found)
    else:
        _show(found)


def _show(found: DryRun) -> None:
    print_fields(
        (
            ("Host", found.host or "here, on the dispatcher's machine"),
            *(("File", f"{one.path} ({one.name}, {one.type})") for one in found.files),
            ("Window opens", found.window_opens),
            ("Earliest start", found.earliest_start),
        )
    )
    click.echo("Command:")
    for line in found.command.rstrip("\n").split("\n"):
        click.echo(f"  {cell(line)}".rstrip())
