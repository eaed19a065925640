"""`batch config`: the settings."""

import click

from batchd_cli import credentials
from batchd_cli.common import Command
from batchd_cli.config import DEFAULT, KEYS
from batchd_cli.output import print_json, print_table
from batchd_cli.session import Session, pass_session

HIDDEN = "(not shown)"


@click.command("config", cls=Command)
@click.argument("what", type=click.Choice(["show"]), default="show", metavar="[show]")
@pass_session
def command(session: Session, what: str) -> None:
    """Show the settings and where each comes from.

    An option comes first, then a BATCH_* variable, then client.yaml in ~/.config/batchd or /etc/batchd, then
    the default. Asks the manager nothing.

    \b
    Examples:
      batch config show
      batch -M http://other:9681 config show --json
    """
    rows = [(key, *_setting(session, key)) for key in KEYS]
    if session.json:
        print_json([{"key": key, "value": value, "source": source} for key, value, source in rows])
    else:
        print_table(("KEY", "VALUE", "SOURCE"), rows)


def _setting(session: Session, key: str) -> tuple[object, str]:
    config = session.config
    value, source = getattr(config, key), config.sources.get(key, DEFAULT)
    if key != "password":
        return value, source
    if value is not None:
        return HIDDEN, source
    kept = credentials.find(credentials.default_path(), config.manager_url, config.username)
    return (HIDDEN, kept.source) if kept else (None, "asked for when the manager wants one")
