"""`batch job`: show, change or delete a job."""

from collections.abc import Iterable

import click

from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.output import local_time, print_fields
from batchd_cli.parameters import STATUS, TIME, StartTime, warn_of_past
from batchd_cli.records import Job, Reason, Result
from batchd_cli.session import Session, pass_session

PRIORITIES = {
    "first": "first",
    "f": "first",
    "up": "more",
    "u": "more",
    "more": "more",
    "down": "less",
    "d": "less",
    "less": "less",
    "last": "last",
    "l": "last",
}


@click.command("job", cls=Command)
@click.argument("number", type=click.IntRange(min=0), metavar="ID")
@click.option("--view", is_flag=True, help="Show it (the default).")
@click.option("--description", is_flag=True, help="Show what it is (the default).")
@click.option("-r", "--result", is_flag=True, help="Show the output of its last execution, as it is.")
@click.option("-a", "--all", "every", is_flag=True, help="Show the output of every execution.")
@click.option("-u", "--update", is_flag=True, help="Change it; implied by the options that change something.")
@click.option("-m", "--move", metavar="QUEUE", help="Into another queue.")
@click.option(
    "-p",
    "--priority",
    type=click.Choice(tuple(PRIORITIES), case_sensitive=False),
    metavar="first|up|more|down|less|last",
    help="Its place in the queue; also f, u, d, l.",
)
@click.option("--at", "--start", "start", type=TIME, metavar="TIME|any|now", help="Not before this time.")
@click.option("-s", "--status", type=STATUS, help="Another status.")
@click.option("-h", "--host", metavar="HOST", help="Another host; * for none.")
@click.option("-n", "--notes", metavar="NOTES", help="Another remark; an empty one removes it.")
@click.option("-d", "--delete", is_flag=True, help="Delete it; if it runs, it is stopped.")
@pass_session
def command(
    session: Session,
    number: int,
    view: bool,
    description: bool,
    result: bool,
    every: bool,
    update: bool,
    move: str | None,
    priority: str | None,
    start: StartTime | None,
    status: str | None,
    host: str | None,
    notes: str | None,
    delete: bool,
) -> None:
    """Show, change or delete a job.

    \b
    Examples:
      batch job 17                       what it is and how it stands
      batch job 17 -r                    what its last execution printed
      batch job 17 -p first              the next to run
      batch job 17 -m night --at 22:00   move it, and not before ten
      batch job 17 -s new                run it again
      batch job 17 -d
    """
    fields = _fields(start, status, host, notes)
    changing = update or bool(fields) or move is not None or priority is not None
    viewing = view or description or result or every
    if delete and (changing or viewing):
        raise click.UsageError("-d goes with nothing else")
    if update and not (fields or move or priority):
        raise click.UsageError("nothing to change; give -m, -p, --at, -s, -h or -n")
    if delete:
        session.client.delete_job(number)
        session.say(f"job {number} is deleted")
        return
    warn_of_past(session, start)
    _change(session, number, move, fields, priority)
    if viewing or not changing:
        _show(session, number, description or view or not (result or every), result, every)


def _fields(
    start: StartTime | None, status: str | None, host: str | None, notes: str | None
) -> dict[str, object]:
    fields: dict[str, object] = {}
    if start:
        fields["start_time"] = start.at
    if status:
        fields["status"] = status
    if host is not None:
        fields["host_name"] = host or "*"
    if notes is not None:
        fields["notes"] = notes or None
    return fields


def _change(
    session: Session, number: int, move: str | None, fields: dict[str, object], priority: str | None
) -> None:
    """The queue first: a start time is checked against its schedule, and a place is a place in it."""
    if move is not None:
        session.client.move_job(number, move)
    if fields:
        session.client.update_job(number, **fields)
    if priority is not None:
        session.client.prioritize_job(number, PRIORITIES[priority.lower()])
    if move is not None or fields or priority is not None:
        session.say(f"job {number} is changed")


def _show(session: Session, number: int, description: bool, result: bool, every: bool) -> None:
    if description:
        _describe(session.client.job(number))
    if not (result or every):
        return
    executions = by_execution(session.client.results(number))
    if not executions:
        raise NothingFound(f"job {number} has no output: it has not run yet")
    if every:
        for place, records in enumerate(executions, 1):
            click.echo(f"--- execution {place}: {_ending(records)}")
            _print_text(records)
    else:
        _print_text(executions[-1])
        session.hint(f"job {number}: {_ending(executions[-1])}")


def _describe(job: Job) -> None:
    print_fields(
        (
            ("Id", job.id),
            ("Queue", job.queue),
            ("Place", job.seq),
            ("Type", job.type),
            ("Status", job.status),
            ("Reason", reason_sentence(job.reason)),
            ("User", job.user_name),
            ("Created", job.create_time),
            ("Not before", job.start_time),
            ("Host", job.host_name),
            ("Failures", job.try_count or None),
            ("Notes", job.notes),
            ("Ended", job.result_time),
            ("Exit code", job.exit_code),
        )
    )
    if job.params:
        click.echo("Parameters:")
        print_fields((f"  {name}", value) for name, value in job.params.items())


def reason_sentence(reason: Reason | None) -> str | None:
    """Why a job waits, and until when where that is known; None for an older manager, which does not say."""
    if reason is None:
        return None
    said = reason.text or reason.code
    return f"{said} (until {local_time(reason.until)})" if reason.until else said


def by_execution(records: Iterable[Result]) -> list[list[Result]]:
    """Records in time order, cut after each exit code; the last part may still be running."""
    executions: list[list[Result]] = []
    ended = True
    for record in records:
        if ended:
            executions.append([])
        executions[-1].append(record)
        ended = record.exit_code is not None
    return executions


def _ending(records: list[Result]) -> str:
    last = records[-1]
    if last.exit_code is None:
        return f"running, last heard of at {local_time(last.time)}"
    return f"exit code {last.exit_code} at {local_time(last.time)}"


def _print_text(records: Iterable[Result]) -> None:
    """What it wrote, both streams in the order of time; a record is a line without its newline."""
    for record in records:
        for text in (record.stdout, record.stderr):
            if text:
                click.echo(text, color=True)
        if not (record.stdout or record.stderr) and record.exit_code is None:
            click.echo()
