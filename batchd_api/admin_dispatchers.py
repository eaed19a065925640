"""`batchd-admin forget-dispatcher`: a machine that never returns."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from batchd_api.admin_parts import in_sentences, opened_database
from batchd_api.answers import printable
from batchd_api.db.session import Database
from batchd_api.db.upgrade import current_revision, head_revision
from batchd_api.errors import Invalid, StartupError
from batchd_api.forgetting import Forgetting
from batchd_api.outbox import Outbox
from batchd_api.page_url import page_url
from batchd_api.settings_records import Settings
from batchd_api.startup import dispatcher_name, read_settings
from batchd_flows.job_types import load_job_types
from batchd_infra.config_files import config_folders


@click.command("forget-dispatcher")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask whether its machine never returns.")
@click.pass_obj
@in_sentences
def forget_dispatcher(config: Path | None, name: str, dry_run: bool, yes: bool) -> None:
    """Give up the dispatcher NAME, whose machine never returns: its jobs hold no slots any more.

    How they ended is unknown: they are Failed, or New again where on_fail of their types says so. One that is
    alive is refused. Should it return, what it still runs of them is ended, and what it reports is not taken.
    """
    settings = read_settings(config, os.environ).settings
    if name == dispatcher_name(settings.state_directory):
        raise Invalid(f"{name} is this configuration's own: start it, and it finds what became of its jobs.")
    with opened_database(config) as database:
        _be_of_this_version(database)
        forgetting = _forgetting(config, settings, database)
        estate = forgetting.estate(name)
        for sentence in estate.sentences():
            click.echo(printable(sentence))
        if dry_run:
            return
        if not yes and not click.confirm("Is it certain that nothing of it runs any more?", default=False):
            raise Invalid("Nothing was changed.")
        count = forgetting.forget(estate)
    click.echo(f"The dispatcher {printable(name)} is forgotten; {count} jobs were given up.")


def _be_of_this_version(database: Database) -> None:
    with database.read() as connection:
        if current_revision(connection) != head_revision():
            raise StartupError("The database is of another version of batchd than this command.")


def _forgetting(config: Path | None, settings: Settings, database: Database) -> Forgetting:
    job_types, _problems = load_job_types(config_folders(config, os.environ))
    targets = tuple(settings.notify.targets)
    outbox = Outbox(database, job_types, targets, page_url(settings))
    return Forgetting(database, job_types, lambda: datetime.now(UTC), outbox)
