"""`batch ls`: the queues, or the jobs of some queues."""

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.job_table import print_jobs
from batchd_cli.output import print_json, print_table
from batchd_cli.parameters import STATUS_OR_ALL
from batchd_cli.queue_words import window_sentence
from batchd_cli.session import Session, pass_session


@click.command("ls", cls=Command)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...", shell_complete=completing.QUEUE)
@click.option("-s", "--status", type=STATUS_OR_ALL, help="Only jobs in this status (default: New).")
@click.option("-a", "--all", "every", is_flag=True, help="Jobs in every status.")
@pass_session
def command(session: Session, queues: tuple[str, ...], status: str | None, every: bool) -> None:
    """List the queues, or the jobs of some queues.

    \b
    Examples:
      batch ls                   the queues; * marks those that are enabled
      batch ls night             the jobs that wait in one
      batch ls -s failed night
      batch ls -a night default
      batch ls --json night      the same as JSON
    """
    if every and status not in (None, "all"):
        raise click.UsageError("-a is every status; give -a or -s, not both")
    if not queues and (every or status):
        raise click.UsageError("-s and -a are about jobs: name a queue")
    if queues:
        _list_jobs(session, queues, "all" if every else status)
    else:
        _list_queues(session)


def _list_queues(session: Session) -> None:
    queues = session.client.queues()
    if session.json:
        print_json(queues)
        return
    rows = [
        (
            "*" if queue.enabled else "-",
            queue.name,
            queue.title,
            queue.schedule_name,
            queue.host_name,
            queue.autostart_job_count,
            window_sentence(queue),
        )
        for queue in queues
    ]
    headings = ("ON", "NAME", "TITLE", "SCHEDULE", "HOST", "AUTOSTART", "WINDOW")
    print_table(headings, rows, cut={"TITLE": 12}, optional=("WINDOW", "HOST", "AUTOSTART"))


def _list_jobs(session: Session, queues: tuple[str, ...], status: str | None) -> None:
    jobs = [job for name in queues for job in session.client.jobs(name, status=status)]
    if session.json:
        print_json(jobs)
    else:
        print_jobs(jobs, with_queue=len(queues) > 1)
