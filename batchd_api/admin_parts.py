"""What the commands of `batchd-admin` share: the database that is meant, and errors as sentences."""

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
from batchd_api.db.upgrade import upgrade
from batchd_api.errors import BatchdError, StartupError
from batchd_api.old_database import refuse_originals
from batchd_api.services.installation import ensure_first_rows
from batchd_api.settings import database_url
from batchd_api.startup import prepare_state_directory, read_settings
from batchd_infra.errors import InfraError

FAILED, REFUSED = 1, 2  # exit codes


def in_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Errors as one sentence on stderr: exit code 2 where nothing could be begun, else 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BatchdError as error:
            click.echo(f"batchd-admin: {error}", err=True)
            sys.exit(REFUSED if isinstance(error, StartupError) else FAILED)
        except InfraError as error:
            click.echo(f"batchd-admin: {error}", err=True)
            sys.exit(FAILED)

    return wrapped


@contextmanager
def opened_database(config: Path | None) -> Iterator[Database]:
    os.umask(0o077)  # the database holds password hashes and people's command lines
    settings = read_settings(config, os.environ).settings
    prepare_state_directory(settings)
    url = database_url(settings)
    refuse_originals(url)
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def upgraded(database: Database) -> tuple[str | None, str]:
    revisions = upgrade(database)
    with database.write() as connection:
        ensure_first_rows(connection, datetime.now(UTC))
    return revisions
