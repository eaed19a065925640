"""`batch login`: the password kept for the next commands."""

import click

from batchd_cli import credentials
from batchd_cli.client import basic
from batchd_cli.common import Command
from batchd_cli.session import Session, ask_password, pass_session


@click.command("login", cls=Command)
@click.option("--file", "in_file", is_flag=True, help="Into the file, even where there is a keyring.")
@pass_session
def command(session: Session, in_file: bool) -> None:
    """Ask for your password and keep it for the next commands.

    It is tried at the manager first. It goes into the system's keyring where the Python package keyring is
    installed, else into ~/.config/batchd/credentials, which only you can read.

    \b
    Examples:
      batch login
      batch -M https://batch.example -U anna login
      batch login --password-stdin < file
    """
    config = session.config
    with session.connect() as client:
        if "basic" not in client.methods():
            session.hint(f"{config.manager_url} wants no password")
            return
        given = config.password
        password = ask_password(config.username) if given is None else given
        client.authenticate(basic(config.username, password))
        client.queues()
    where = credentials.store(
        credentials.default_path(), config.manager_url, config.username, password, in_file=in_file
    )
    session.done(f"the password of {config.username} is in {where}", name=config.username)
    session.next_step(f"the password of {config.username} for {config.manager_url} is in {where}")
