"""`batchd drain`, as the process that `batchd` becomes for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import make_url

from batchd_api.db.session import Database
from batchd_api.db.upgrade import current_revision, head_revision
from batchd_api.drain import NotDrained, set_draining, wait_until_drained
from batchd_api.errors import BatchdError, StartupError
from batchd_api.settings import database_url
from batchd_api.settings_records import Settings
from batchd_api.startup import dispatcher_name, read_settings
from batchd_infra.quantities import seconds_of

NOT_DRAINED, REFUSED = 1, 2  # exit codes


@click.command()
@click.option("--config", type=click.Path(path_type=Path))
@click.option("--timeout")
@click.option("--off", is_flag=True)
def main(config: Path | None, timeout: str | None, off: bool) -> None:
    """Its options are explained by the command `batchd drain`."""
    try:
        _drain(config, _timeout_seconds(timeout), off=off)
    except NotDrained as error:
        click.echo(f"batchd: {error}", err=True)
        sys.exit(NOT_DRAINED)
    except BatchdError as error:
        click.echo(f"batchd: {error}", err=True)
        sys.exit(REFUSED)


def _drain(config: Path | None, timeout_seconds: float | None, *, off: bool) -> None:
    settings = read_settings(config, os.environ).settings
    name = dispatcher_name(settings.state_directory)
    with _database(settings) as database:
        set_draining(database, name, _now(), draining=not off)
        if off:
            click.echo(f"The dispatcher {name} takes new jobs again.")
            return
        wait_until_drained(
            database,
            name,
            _now,
            timeout_seconds=timeout_seconds,
            say=lambda sentence: click.echo(sentence, err=True),
        )
    click.echo(f"The dispatcher {name} runs no job and takes none, until it is restarted or --off.")


def _timeout_seconds(text: str | None) -> float | None:
    if text is None:
        return None
    seconds = seconds_of(text)
    if seconds is None:
        raise StartupError(f'"{text}" is no duration: write one such as 90, "10 min" or 2h.')
    return seconds


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    """The running daemon's; none is made here. Raises StartupError."""
    url = database_url(settings)
    path = make_url(url).database
    if url.startswith("sqlite") and (path in (None, "", ":memory:") or not Path(str(path)).exists()):
        raise StartupError(
            "There is no database of this configuration that a running dispatcher could share."
        )
    database = Database(url)
    try:
        with database.read() as connection:
            if current_revision(connection) != head_revision():
                raise StartupError("The database is of another version of batchd than this command.")
        yield database
    finally:
        database.close()


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
