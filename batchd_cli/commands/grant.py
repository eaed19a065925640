"""`batch grant`: a user's permissions."""

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.output import print_json, print_table
from batchd_cli.records import Permission
from batchd_cli.session import Session, pass_session

PERMISSIONS = (
    "SuperUser",
    "CreateJobs",
    "ViewJobs",
    "ManageJobs",
    "ViewQueues",
    "ManageQueues",
    "ViewSchedules",
    "ManageSchedules",
)


@click.command("grant", cls=Command)
@click.argument("name", shell_complete=completing.USER)
@click.option("--view", is_flag=True, help="Show them (the default).")
@click.option("-a", "--add", is_flag=True, help="Grant one; prints its id.")
@click.option("-d", "--delete", is_flag=True, help="Revoke the one with the id of -i.")
@click.option("-i", "--id", "number", type=click.IntRange(min=0), metavar="ID", help="Which one, with -d.")
@click.option(
    "-p", "--permission", type=click.Choice(PERMISSIONS, case_sensitive=False), help="What, with -a."
)
@click.option("-q", "--queue", metavar="QUEUE", shell_complete=completing.QUEUE, help="Only in this queue.")
@click.option(
    "-t", "--type", "job_type", metavar="TYPE", shell_complete=completing.TYPE, help="Only for this job type."
)
@click.option(
    "-h",
    "--host",
    metavar="HOST",
    shell_complete=completing.HOST,
    help="Only on this host; __default__ is the queue's own.",
)
@pass_session
def command(
    session: Session,
    name: str,
    view: bool,
    add: bool,
    delete: bool,
    number: int | None,
    permission: str | None,
    queue: str | None,
    job_type: str | None,
    host: str | None,
) -> None:
    """Show, add or revoke a user's permissions.

    \b
    Examples:
      batch grant anna
      batch grant anna -a -p CreateJobs -q night
      batch grant anna -d -i 3
    """
    if view + add + delete > 1:
        raise click.UsageError("give one of -a, -d and --view")
    if add != (permission is not None):
        raise click.UsageError("-a and -p PERMISSION go together")
    if delete != (number is not None):
        raise click.UsageError("-d and -i ID go together")
    if not add and (queue or job_type or host):
        raise click.UsageError("-q, -t and -h go with -a")
    if permission is not None:
        record = Permission(permission=permission, queue_name=queue, type_name=job_type, host_name=host)
        granted = session.client.grant(name, record)
        if session.json:
            print_json({"id": granted})
        else:
            click.echo(granted)
    elif number is not None:
        session.client.revoke(name, number)
        session.done(f"permission {number} of {name} is revoked", id=number)
    else:
        _show(session, name)


def _show(session: Session, name: str) -> None:
    permissions = session.client.permissions(name)
    if session.json:
        print_json(permissions)
        return
    rows = [
        (one.id, one.permission, *(part or "any" for part in (one.queue_name, one.type_name, one.host_name)))
        for one in permissions
    ]
    print_table(("ID", "PERMISSION", "QUEUE", "TYPE", "HOST"), rows)
