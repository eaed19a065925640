"""`batch host`: the hosts."""

import click

from batchd_cli.common import Command
from batchd_cli.output import cell
from batchd_cli.session import Session, pass_session


@click.command("host", cls=Command)
@pass_session
def command(session: Session) -> None:
    """List the hosts, one a line.

    \b
    Example:
      batch host
    """
    for name in session.client.hosts():
        click.echo(cell(name))
