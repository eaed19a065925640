"""`batch why`: the reason of a job's standing."""

import click

from batchd_cli.bulk import which_argument
from batchd_cli.common import Command
from batchd_cli.finding import Which, jobs_of, numbers_of
from batchd_cli.job_table import reason_sentence
from batchd_cli.output import cell, local_time, print_json
from batchd_cli.records import Job
from batchd_cli.session import Session, pass_session


@click.command("why", cls=Command)
@which_argument
@pass_session
def command(session: Session, which: tuple[Which, ...]) -> None:
    """Say why a job waits.

    One line a job: its id, the reason as a word and as a sentence, and when it ends where that is known.
    With --json: id, status and reason.

    \b
    Examples:
      batch why 17
      batch why last
      batch why 3-7 --json
    """
    if not which:
        raise click.UsageError("name the jobs: ids, ranges as 3-7, or last")
    jobs = jobs_of(session.client, numbers_of(session.client, session.config.username, which))
    if session.json:
        print_json([{"id": job.id, "status": job.status, "reason": job.reason} for job in jobs])
        return
    for job in jobs:
        code, sentence = _reason(job)
        click.echo(f"{job.id}  {code}: {cell(sentence)}")
    for job in jobs:
        _hint(session, job)


def _reason(job: Job) -> tuple[str, str]:
    if job.reason:
        return job.reason.code, reason_sentence(job.reason) or ""
    if job.status == "Processing":
        return "running", "it does not wait: it runs" + (f" on {job.host_name}" if job.host_name else "")
    if job.ended:
        code = "" if job.exit_code is None else f" with exit code {job.exit_code}"
        when = f" at {local_time(job.result_time)}" if job.result_time else ""
        return job.status.lower(), f"it has ended{code}{when}"
    if job.status == "Postponed":
        return "postponed", "it is held until somebody releases it"
    return "unknown", "the manager does not say"


NEXT_STEPS = {
    "postponed": "`batch release {id}` lets it start",
    "queue-disabled": "`batch queue {queue} -e` enables the queue",
    "position": "`batch job {id} -p first` makes it the next",
    "not-before": "`batch job {id} --at now` takes that time away",
    "window": "`batch schedule` shows when the windows open",
}


def _hint(session: Session, job: Job) -> None:
    code, _ = _reason(job)
    if code in NEXT_STEPS:
        session.next_step(NEXT_STEPS[code].format(id=job.id, queue=job.queue))
