"""`batch ls`: the queues, or the jobs of some queues."""

import click

from batchd_cli.common import Command
from batchd_cli.output import print_table
from batchd_cli.parameters import STATUS_OR_ALL
from batchd_cli.session import Session, pass_session


@click.command("ls", cls=Command)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
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
    rows = [
        (
            "*" if queue.enabled else "-",
            queue.name,
            queue.title,
            queue.schedule_name,
            queue.host_name,
            queue.autostart_job_count,
        )
        for queue in session.client.queues()
    ]
    print_table(("ON", "NAME", "TITLE", "SCHEDULE", "HOST", "AUTOSTART"), rows)


def _list_jobs(session: Session, queues: tuple[str, ...], status: str | None) -> None:
    jobs = [job for name in queues for job in session.client.jobs(name, status=status)]
    which = ("QUEUE",) if len(queues) > 1 else ()
    rows = [
        (
            job.id,
            *((job.queue,) if which else ()),
            job.seq,
            job.type,
            job.status,
            job.user_name,
            job.create_time,
            job.start_time,
            job.host_name,
            job.notes,
            " ".join(f"{name}={value}" for name, value in job.params.items()),
        )
        for job in jobs
    ]
    headings = ("SEQ", "TYPE", "STATUS", "USER", "CREATED", "START", "HOST", "NOTES", "PARAMETERS")
    print_table(("ID", *which, *headings), rows)
