"""`batch stats`: how many jobs are in which status."""

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.output import print_json, print_table
from batchd_cli.parameters import STATUSES
from batchd_cli.session import Session, pass_session


@click.command("stats", cls=Command)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...", shell_complete=completing.QUEUE)
@pass_session
def command(session: Session, queues: tuple[str, ...]) -> None:
    """Count the jobs of each queue by status.

    \b
    Examples:
      batch stats
      batch stats night default
    """
    client = session.client
    counts = {name: client.queue_stats(name) for name in queues} if queues else client.stats()
    if session.json:
        print_json(counts)
        return
    rows = [(name, *(count.get(status.lower(), 0) for status in STATUSES)) for name, count in counts.items()]
    print_table(("QUEUE", *(status.upper() for status in STATUSES)), rows)
