"""`batch host`: the hosts."""

import click

from batchd_cli.common import Command
from batchd_cli.output import cell, print_json
from batchd_cli.session import Session, pass_session


@click.command("host", cls=Command)
@pass_session
def command(session: Session) -> None:
    """List the hosts, one a line.

    \b
    Example:
      batch host
    """
    names = session.client.hosts()
    if session.json:
        print_json(names)
        return
    for name in names:
        click.echo(cell(name))
