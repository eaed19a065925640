"""`batch wait`: until jobs have ended."""

from collections import Counter
from collections.abc import Sequence

import click

from batchd_cli.bulk import which_argument
from batchd_cli.common import Command
from batchd_cli.finding import Which, numbers_of
from batchd_cli.following import tell_end, waiting_sentence
from batchd_cli.output import print_json_line
from batchd_cli.parameters import DURATION
from batchd_cli.progress import progress
from batchd_cli.records import Job
from batchd_cli.session import Session, pass_session
from batchd_cli.waiting import own_code, wait_for


@click.command("wait", cls=Command)
@which_argument
@click.option("--timeout", type=DURATION, metavar="TIME", help="Give up after 90 (seconds), 10m, 2h …")
@pass_session
def command(session: Session, which: tuple[Which, ...], timeout: float | None) -> int:
    """Wait until jobs have ended.

    Prints nothing on stdout; the exit code is the job's own, of several that of the first one that failed
    in the order they are named, and 124 when the time of --timeout has passed. With --json: one object a
    line, each job when it has ended.

    \b
    Examples:
      batch wait 17 && echo it is done
      batch wait 3-7 --timeout 2h
      batch wait last
    """
    if not which:
        raise click.UsageError("name the jobs: ids, ranges as 3-7, or last")
    numbers = numbers_of(session.client, session.config.username, which)
    told = set[int]()
    with progress(session) as shown:

        def tell(jobs: Sequence[Job]) -> None:
            shown.say(_standing(jobs))
            for job in jobs:
                if session.json and job.ended and job.id not in told:
                    told.add(job.id)
                    print_json_line(job)

        jobs = wait_for(session.client.job, numbers, timeout_seconds=timeout, tell=tell)
    for job in jobs:
        tell_end(session, job)
    return next((code for job in jobs if (code := own_code(job))), 0)


def _standing(jobs: Sequence[Job]) -> str:
    if len(jobs) == 1:
        return waiting_sentence(jobs[0].id, jobs[0])
    counts = Counter(job.status for job in jobs)
    return f"{len(jobs)} jobs: " + ", ".join(f"{count} {status}" for status, count in counts.items())
