"""`batch top`: queues and jobs, again and again."""

import sys
from time import sleep

import click

from batchd_cli.common import Command
from batchd_cli.job_table import print_jobs
from batchd_cli.lazy import heavy
from batchd_cli.output import print_json_line, print_table
from batchd_cli.session import Session, pass_session
from batchd_cli.watching import QUEUE_HEADINGS, Look, look


@click.command("top", cls=Command)
@click.option(
    *("-i", "--interval"),
    type=click.FloatRange(min=0.2),
    default=2.0,
    metavar="SECONDS",
    help="Look so often (default: 2).",
)
@click.option("-1", "--once", is_flag=True, help="Show it once; so it is in a pipe, too.")
@pass_session
def command(session: Session, interval: float, once: bool) -> None:
    """Watch the queues and the jobs in them.

    Running jobs first, then those that wait, each with its reason. q ends it. With --json: one object a
    line, every so often.

    \b
    Examples:
      batch top
      batch top -i 10
      batch top --once
      batch top --json -i 60 >> log
    """
    client = session.client
    if session.json:
        print_json_line(look(client).to_json())
        while not once:
            sleep(interval)
            print_json_line(look(client).to_json())
    elif once or not sys.stdout.isatty():
        _print(look(client))
    else:
        heavy("rich_top").watch(lambda: look(client), interval)


def _print(now: Look) -> None:
    print_table(QUEUE_HEADINGS, now.queue_rows(), optional=("WINDOW",))
    click.echo()
    print_jobs(now.jobs)
