"""`batch user`: the users."""

import sys

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.nearby import did_you_mean
from batchd_cli.output import cell, print_json
from batchd_cli.session import Session, ask_new_password, pass_session


@click.command("user", cls=Command)
@click.argument("name", required=False, shell_complete=completing.USER)
@click.option("--view", is_flag=True, help="List them (the default).")
@click.option("-a", "--add", is_flag=True, help="Add this user; asks the password twice.")
@click.option("-u", "--update", is_flag=True, help="Change this user's password; asks it twice.")
@click.option("--delete", is_flag=True, help="Delete this user; their jobs keep the name.")
@click.option("--new-password-stdin", is_flag=True, help="With -a and -u: it is the next line of stdin.")
@pass_session
def command(
    session: Session,
    name: str | None,
    view: bool,
    add: bool,
    update: bool,
    delete: bool,
    new_password_stdin: bool,
) -> None:
    """List the users, add one, change a password.

    Without NAME, -u is about yourself.

    \b
    Examples:
      batch user
      batch user -a anna
      batch user -u
      batch user -a anna --new-password-stdin < file
    """
    if view + add + update + delete > 1:
        raise click.UsageError("give one of -a, -u, --delete and --view")
    if (add or delete) and not name:
        raise click.UsageError(f"name the user: batch user {'-a' if add else '--delete'} NAME")
    if new_password_stdin and not (add or update):
        raise click.UsageError("--new-password-stdin goes with -a or -u")
    if add and name:
        session.client.create_user(name, _new_password(name, new_password_stdin))
        session.done(f"user {name} is added", name=name)
    elif delete and name:
        session.client.delete_user(name)
        session.done(f"user {name} is deleted", name=name)
    elif update:
        whose = name or session.config.username
        session.client.set_password(whose, _new_password(whose, new_password_stdin))
        session.done(f"the password of {whose} is changed", name=whose)
    else:
        _list(session, name)


def _new_password(username: str, from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else ask_new_password(username)


def _list(session: Session, name: str | None) -> None:
    known = session.client.users()
    users = [one for one in known if name in (None, one)]
    if name and not users:
        raise NothingFound(f"no user {name}", hint=did_you_mean(name, known))
    if session.json:
        print_json(users)
        return
    for one in users:
        click.echo(cell(one))
