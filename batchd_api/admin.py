"""`batchd-admin`: what is done to the database from this machine, without the daemon."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from batchd_api.db.session import Database
from batchd_api.db.upgrade import current_revision, head_revision, upgrade
from batchd_api.errors import BatchdError, Invalid, StartupError
from batchd_api.services.installation import ensure_first_rows
from batchd_api.services.passwords import Passwords
from batchd_api.services.users import Users
from batchd_api.settings import database_url
from batchd_api.startup import prepare_state_directory, read_settings

FAILED, REFUSED = 1, 2  # exit codes


def _now() -> datetime:
    return datetime.now(UTC)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="batchd.yaml to use instead of the usual places."
)
@click.version_option(package_name="batchd")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Look after batchd's database: bring it up to date, make the first user, set a password."""
    context.obj = config


def _in_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Errors as one sentence on stderr: exit code 2 where nothing could be begun, else 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BatchdError as error:
            click.echo(f"batchd-admin: {error}", err=True)
            sys.exit(REFUSED if isinstance(error, StartupError) else FAILED)

    return wrapped


_name = click.argument("name", default="root")
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@main.command("upgrade-db")
@click.pass_obj
@_in_sentences
def upgrade_db(config: Path | None) -> None:
    """Bring the database to this version's shape; a new one gets its first rows."""
    with _database(config) as database:
        before, after = _upgrade(database)
    click.echo("The database was up to date." if before == after else f"The database is at revision {after}.")


@main.command("create-superuser")
@_name
@_password_stdin
@click.pass_obj
@_in_sentences
def create_superuser(config: Path | None, name: str, password_stdin: bool) -> None:
    """Create the user NAME (default: root), who may do anything."""
    with _database(config) as database:
        _be_current(database)
        Users(database, Passwords(), _now).create(name, _password(password_stdin), superuser=True)
    click.echo(f'The superuser "{name}" was created.')


@main.command("passwd")
@_name
@_password_stdin
@click.pass_obj
@_in_sentences
def passwd(config: Path | None, name: str, password_stdin: bool) -> None:
    """Set the password of the user NAME (default: root)."""
    with _database(config) as database:
        _be_current(database)
        Users(database, Passwords(), _now).set_password(name, _password(password_stdin))
    click.echo(f'The password of "{name}" was set.')


@contextmanager
def _database(config: Path | None) -> Iterator[Database]:
    os.umask(0o077)  # the database holds password hashes and people's command lines
    settings = read_settings(config, os.environ).settings
    prepare_state_directory(settings)
    database = Database(database_url(settings))
    try:
        yield database
    finally:
        database.close()


def _upgrade(database: Database) -> tuple[str | None, str]:
    revisions = upgrade(database)
    with database.write() as connection:
        ensure_first_rows(connection, _now())
    return revisions


def _be_current(database: Database) -> None:
    """A database that does not exist yet is made; one with data is upgraded only when asked to."""
    with database.read() as connection:
        revision = current_revision(connection)
    if revision is None:
        _upgrade(database)
    elif revision != head_revision():
        raise StartupError("The database is of another version of batchd: run batchd-admin upgrade-db first.")


def _password(from_stdin: bool) -> str:
    if not from_stdin:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again"))
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise Invalid("The password on standard input is not text in this system's encoding.") from None
    return line.removesuffix("\n").removesuffix("\r")


if __name__ == "__main__":
    main()
