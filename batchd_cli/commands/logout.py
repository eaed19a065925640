"""`batch logout`: the kept password forgotten."""

import click

from batchd_cli import credentials
from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.session import Session, pass_session


@click.command("logout", cls=Command)
@pass_session
def command(session: Session) -> None:
    """Forget the password that `batch login` keeps.

    \b
    Examples:
      batch logout
      batch -U root logout
    """
    config = session.config
    if not credentials.forget(credentials.default_path(), config.manager_url, config.username):
        raise NothingFound(f"no password of {config.username} for {config.manager_url} is kept")
    session.done(f"the password of {config.username} is forgotten", name=config.username)
