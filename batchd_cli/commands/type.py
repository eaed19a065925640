"""`batch type`: the job types."""

from collections.abc import Mapping

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.output import cell, print_fields, print_json, print_table
from batchd_cli.records import JobType
from batchd_cli.session import Session, pass_session


@click.command("type", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completing.TYPE)
@pass_session
def command(session: Session, names: tuple[str, ...]) -> None:
    """List the job types, or show some with their parameters.

    \b
    Examples:
      batch type
      batch type command blender
    """
    client = session.client
    kinds = [client.job_type(name) for name in names] if names else client.job_types()
    if session.json:
        print_json(kinds)
    elif names:
        for place, kind in enumerate(kinds):
            if place:
                click.echo()
            _show(kind)
    else:
        rows = [
            (one.name, one.title, one.host_name, " ".join(parameter.name for parameter in one.params))
            for one in kinds
        ]
        print_table(("NAME", "TITLE", "HOST", "PARAMETERS"), rows, cut={"TITLE": 12}, optional=("HOST",))


def _show(kind: JobType) -> None:
    print_fields(
        (
            ("Name", kind.name),
            ("Title", kind.title),
            ("On failure", on_fail_sentence(kind.on_fail)),
            ("Host", kind.host_name),
            ("Jobs at once", kind.max_jobs),
            ("Syntax", kind.syntax),
        )
    )
    click.echo("Template:")
    for line in kind.template:
        click.echo(f"  {cell(line)}".rstrip())
    if kind.params:
        click.echo("Parameters:")
        print_table(
            ("  NAME", "TYPE", "DEFAULT", "TITLE"),
            [(f"  {one.name}", one.type, one.default, one.title) for one in kind.params],
        )


def on_fail_sentence(on_fail: object) -> str:
    """`continue`, or `retry now, 3 times`."""
    retry = on_fail.get("retry") if isinstance(on_fail, Mapping) else None
    if not isinstance(retry, Mapping):
        return str(on_fail)
    return f"retry {retry.get('when', 'now')}, {retry.get('count', 1)} times"
