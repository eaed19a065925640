"""`batch user`: the users."""

import click

from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.output import cell
from batchd_cli.session import Session, ask_new_password, pass_session


@click.command("user", cls=Command)
@click.argument("name", required=False)
@click.option("--view", is_flag=True, help="List them (the default).")
@click.option("-a", "--add", is_flag=True, help="Add this user; asks the password twice.")
@click.option("-u", "--update", is_flag=True, help="Change this user's password; asks it twice.")
@pass_session
def command(session: Session, name: str | None, view: bool, add: bool, update: bool) -> None:
    """List the users, add one, change a password.

    Without NAME, -u is about yourself.

    \b
    Examples:
      batch user
      batch user -a anna
      batch user -u
    """
    if view + add + update > 1:
        raise click.UsageError("give one of -a, -u and --view")
    if add and not name:
        raise click.UsageError("-a wants the new user's name")
    if add and name:
        session.client.create_user(name, ask_new_password(name))
    elif update:
        whose = name or session.config.username
        session.client.set_password(whose, ask_new_password(whose))
    else:
        _list(session, name)


def _list(session: Session, name: str | None) -> None:
    users = [one for one in session.client.users() if name in (None, one)]
    if name and not users:
        raise NothingFound(f"no user {name}")
    for one in users:
        click.echo(cell(one))
