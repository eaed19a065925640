"""`batchd-admin upgrade-db`, `backup`, `restore`, `move-db`: what is done to the database as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from batchd_api.admin_parts import in_sentences, opened_database, upgraded
from batchd_api.connection_strings import looks_like_postgres, postgres_url, sqlite_url
from batchd_api.database_moves import (
    back_up,
    backup_opened,
    contents,
    name_of,
    refuse_full,
    refuse_while_it_is_used,
    replace_all,
    upgrade_in_words,
)
from batchd_api.db.copying import counted
from batchd_api.db.session import Database
from batchd_api.errors import Invalid, StartupError
from batchd_api.settings_records import DaemonMode
from batchd_api.startup import dispatcher_name, read_settings
from batchd_api.state_lock import only_one

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_yes = click.option("--yes", is_flag=True, help="Do not ask whether what is there may be replaced.")


@click.command("upgrade-db")
@_dry_run
@click.pass_obj
@in_sentences
def upgrade_db(config: Path | None, dry_run: bool) -> None:
    """Bring the database to this version's shape; a new one gets its first rows.

    The daemon does the same when it starts.
    """
    if dry_run:
        with opened_database(config) as database:  # the daemon may go on: it is asked before it is stopped
            click.echo(upgrade_in_words(database))
        return
    with _unused(config) as database:
        before, after = upgraded(database)
    click.echo("The database was up to date." if before == after else f"The database is at revision {after}.")


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@_dry_run
@click.pass_obj
@in_sentences
def backup(config: Path | None, file: Path, dry_run: bool) -> None:
    """Write everything in the database, output too, into FILE: a SQLite file, whatever the database is.

    The daemon may go on meanwhile. Configuration, keys and Prefect's own database are not in it.
    """
    with opened_database(config) as database:
        if dry_run:
            click.echo(f"{contents(database)}: that would be written into {file}.")
            return
        click.echo(f"Written: {back_up(database, file)}.")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@_dry_run
@_yes
@click.pass_obj
@in_sentences
def restore(config: Path | None, file: Path, dry_run: bool, yes: bool) -> None:
    """Replace everything in the database by what FILE holds: a backup of this version or an older one."""
    with backup_opened(file) as source, _unused(config) as database:
        there = contents(database)
        if dry_run:
            click.echo(f"{there}.\nIt would hold what {file} does: {counted(contents(source).counts)}.")
            return
        if there.revision is not None and not yes:
            click.echo(f"{there}.")
            if not click.confirm(f"Is all of that to be replaced by {file}?", default=False):
                raise Invalid("Nothing was changed.")
        click.echo(f"Restored: {counted(replace_all(database, source))}.")


@click.command("move-db")
@click.argument("to")
@_dry_run
@click.pass_obj
@in_sentences
def move_db(config: Path | None, to: str, dry_run: bool) -> None:
    """Carry everything over into the empty database TO, such as "host=db user=batchd dbname=batchd".

    TO is written as connection_string is; the database of before stays as it is.
    """
    with _unused(config) as source, closing(_named(to)) as target:
        if name_of(target.url) == name_of(source.url):
            raise StartupError(f"{name_of(source.url)} is the database in use already.")
        refuse_full(target)
        if dry_run:
            click.echo(
                f"{contents(source)}: that would be written into {name_of(target.url)}, which is empty."
            )
            return
        upgraded(source)
        counts = replace_all(target, source)
        driver = "Sqlite" if target.is_sqlite else "PostgreSql"
    click.echo(f"Moved: {counted(counts)}.")
    click.echo(f"Now set driver: {driver} and that connection_string in batchd.yaml, and start the daemon.")


COMMANDS = (upgrade_db, backup, restore, move_db)


@contextmanager
def _unused(config: Path | None) -> Iterator[Database]:
    """Nobody uses it, nor begins to on this machine. Raises StartupError."""
    state = read_settings(config, os.environ).settings.state_directory
    with opened_database(config) as database, only_one(state, DaemonMode.BOTH):
        refuse_while_it_is_used(database, dispatcher_name(state))
        yield database


def _named(text: str) -> Database:
    try:
        url = postgres_url(text) if looks_like_postgres(text) else sqlite_url(text)
    except ValueError as error:
        raise StartupError(f"TO {error}.") from error
    return Database(url)
