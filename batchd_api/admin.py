"""`batchd-admin`: what is done to the database from this machine, without the daemon."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from batchd_api.admin_database import COMMANDS
from batchd_api.admin_dispatchers import forget_dispatcher
from batchd_api.admin_parts import FAILED, in_sentences, opened_database, upgraded
from batchd_api.answers import printable
from batchd_api.config_check import check_config
from batchd_api.db.session import Database
from batchd_api.db.upgrade import current_revision, head_revision
from batchd_api.errors import Invalid, StartupError
from batchd_api.imports import import_rows
from batchd_api.old_database import read_old_database
from batchd_api.services.passwords import Passwords
from batchd_api.services.users import Users
from batchd_api.startup import KNOWN_HOSTS_FILE, prepare_state_directory, read_settings
from batchd_infra.config_files import config_folders
from batchd_infra.host_keys import KnownHosts, read_host_key
from batchd_infra.hosts import load_hosts


def _now() -> datetime:
    return datetime.now(UTC)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="batchd.yaml to use instead of the usual places."
)
@click.version_option(package_name="batchd")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Look after an installation: its database, its first users, an old installation's, trusted machines."""
    context.obj = config


_name = click.argument("name", default="root")
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@main.command("create-superuser")
@_name
@_password_stdin
@click.pass_obj
@in_sentences
def create_superuser(config: Path | None, name: str, password_stdin: bool) -> None:
    """Create the user NAME (default: root), who may do anything."""
    with opened_database(config) as database:
        _be_current(database)
        Users(database, Passwords(), _now).create(name, _password(password_stdin), superuser=True)
    click.echo(f'The superuser "{name}" was created.')


@main.command("passwd")
@_name
@_password_stdin
@click.pass_obj
@in_sentences
def passwd(config: Path | None, name: str, password_stdin: bool) -> None:
    """Set the password of the user NAME (default: root)."""
    with opened_database(config) as database:
        _be_current(database)
        Users(database, Passwords(), _now).set_password(name, _password(password_stdin))
    click.echo(f'The password of "{name}" was set.')


@main.command("import-users")
@click.argument("old_database")
@click.pass_obj
@in_sentences
def import_users(config: Path | None, old_database: str) -> None:
    """Carry over what an original batchd's OLD_DATABASE holds, which is only read.

    OLD_DATABASE is a SQLite file, or PostgreSQL's "host=… user=… dbname=…". Users come with passwords and
    permissions, and queues and schedules too; what is here already stays as it is.
    """
    old = read_old_database(old_database)
    settings = read_settings(config, os.environ).settings
    with opened_database(config) as database:
        _be_current(database)
        with database.write() as connection:
            report = import_rows(connection, old, _now())
    click.echo(printable(f"found: {', '.join(old.found)}"))
    for word, lines in (("taken", report.taken), ("skipped", report.skipped)):
        for line in lines:
            click.echo(f"{word}: {printable(line)}")
    for note in report.notes:
        click.echo(printable(note))
    if settings.manager.auth.static_salt is None:
        click.echo("Set manager.auth.static_salt as the old batchd.yaml has it: old passwords need it.")
    click.echo(f"Taken: {len(report.taken)}, skipped: {len(report.skipped)}. Jobs stay in the old database.")


@main.command("check-config")
@click.pass_obj
@in_sentences
def check_config_files(config: Path | None) -> None:
    """Read every file of the configuration and say what is wrong, with file, line and key.

    Ends with 1 if a file has an error; warnings alone end with 0.
    """
    checked = check_config(config, os.environ)
    for problem in checked.problems:
        click.echo(printable(f"{problem.severity}: {problem}"))
    for path in checked.files:
        click.echo(f"read: {printable(str(path))}", err=True)
    errors, warnings = len(checked.errors), len(checked.problems) - len(checked.errors)
    click.echo(f"{len(checked.files)} files, {errors} errors, {warnings} warnings.")
    if errors:
        sys.exit(FAILED)


@main.command("trust-host")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask: the fingerprint was compared already.")
@click.pass_obj
@in_sentences
def trust_host(config: Path | None, name: str, yes: bool) -> None:
    """Trust the SSH host key of the host NAME, as hosts/NAME.yaml defines it."""
    settings = read_settings(config, os.environ).settings
    prepare_state_directory(settings)
    hosts, _problems = load_hosts(config_folders(config, os.environ))
    host = hosts.get(name)
    offered = read_host_key(host.host_name, host.port)
    known = KnownHosts(settings.state_directory / KNOWN_HOSTS_FILE)
    trusted = known.trusts(offered)
    click.echo(f"{offered.address} has the {offered.kind} key {offered.fingerprint}")
    if trusted:
        click.echo("It is trusted already.")
    elif yes or click.confirm("Is that the machine's own fingerprint?", default=False):
        known.add(offered)
        click.echo(f'The host "{host.name}" is trusted from now on.')
    else:
        raise Invalid("Nothing was changed: the key is not trusted.")


def _be_current(database: Database) -> None:
    """A database that does not exist yet is made; one with data is upgraded only when asked to."""
    with database.read() as connection:
        revision = current_revision(connection)
    if revision is None:
        upgraded(database)
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


for command in (*COMMANDS, forget_dispatcher):
    main.add_command(command)


if __name__ == "__main__":
    main()
