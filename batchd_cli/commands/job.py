"""`batch job`: show, change or delete jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from batchd_cli import completing
from batchd_cli.bulk import (
    Filters,
    any_filter,
    confirm,
    filter_options,
    for_each,
    selected,
    show,
    which_argument,
)
from batchd_cli.client import Client
from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.executions import by_execution, ending, print_text
from batchd_cli.finding import Which
from batchd_cli.job_table import progress_sentence, reason_sentence
from batchd_cli.output import print_fields, print_json
from batchd_cli.parameters import STATUS, TIME, StartTime, warn_of_past
from batchd_cli.records import Job, Result
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
@which_argument
@click.option("--view", is_flag=True, help="Show it (the default).")
@click.option("--description", is_flag=True, help="Show what it is (the default).")
@click.option("-r", "--result", is_flag=True, help="Show the output of its last execution, as it is.")
@click.option("-a", "--all", "every", is_flag=True, help="Show the output of every execution.")
@click.option("-u", "--update", is_flag=True, help="Change it; implied by the options that change something.")
@click.option("-m", "--move", metavar="QUEUE", shell_complete=completing.QUEUE, help="Into another queue.")
@click.option(
    "-p",
    "--priority",
    type=click.Choice(tuple(PRIORITIES), case_sensitive=False),
    metavar="first|up|more|down|less|last",
    help="Its place in the queue; also f, u, d, l.",
)
@click.option("--at", "--start", "start", type=TIME, metavar="TIME|any|now", help="Not before this time.")
@click.option("-s", "--status", type=STATUS, help="Another status.")
@click.option(
    "-h", "--host", metavar="HOST", shell_complete=completing.HOST, help="Another host; * for none."
)
@click.option("-n", "--notes", metavar="NOTES", help="Another remark; an empty one removes it.")
@click.option("-d", "--delete", is_flag=True, help="Delete it; if it runs, it is stopped.")
@filter_options(status=("--only-status",), letters=False)
@pass_session
def command(
    session: Session,
    which: tuple[Which, ...],
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
    queue: str | None,
    only_status: str | None,
    user: str | None,
    since: StartTime | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Show, change or delete jobs.

    Several by their ids, by ranges, `last` (your newest), or by the filters --queue, --only-status, --user
    and --since. Before more than a few are changed you are asked; in a pipe --yes is needed.

    \b
    Examples:
      batch job 17                       what it is and how it stands
      batch job 17 -r                    what its last execution printed
      batch job 17 -p first              the next to run
      batch job 17 -m night --at 22:00   move it, and not before ten
      batch job 17 -s new                run it again
      batch job 3-7 -d
      batch job --queue night --only-status done -d --dry-run
    """
    fields = _fields(start, status, host, notes)
    changing = update or bool(fields) or move is not None or priority is not None
    viewing = view or description or result or every
    if delete and (changing or viewing):
        raise click.UsageError("-d goes with nothing else")
    if update and not (fields or move or priority):
        raise click.UsageError("nothing to change; give -m, -p, --at, -s, -h or -n")
    filters = Filters(queue=queue, only_status=only_status, user=user, since=since)
    numbers = _numbers(session, which, filters, dry_run)
    if dry_run:
        show(session, [session.client.job(number) for number in numbers])
        return
    if delete or changing:
        confirm(session, len(numbers), "Delete" if delete else "Change", yes)
    if delete:
        for_each(session, numbers, session.client.delete_job, "is deleted")
    elif changing:
        warn_of_past(session, start)
        change = Change(move=move, fields=fields, priority=PRIORITIES[priority.lower()] if priority else None)
        for_each(session, change.order(numbers), change.at(session.client), "is changed")
    if viewing or not (changing or delete):
        looks = Looks(description=description or view or not (result or every), result=result, every=every)
        _show(session, numbers, looks)


def _numbers(session: Session, which: Sequence[Which], filters: Filters, dry_run: bool) -> list[int]:
    """Single ids are not looked up before: what is done to them says whether they are there."""
    if which and not any_filter(filters) and not dry_run and all(word.is_one_id for word in which):
        return list(dict.fromkeys(word.first for word in which if word.first is not None))
    return [job.id for job in selected(session, which, filters, None)]


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


@dataclass(frozen=True, kw_only=True)
class Change:
    """What changes in each of the jobs."""

    move: str | None
    fields: dict[str, object]
    priority: str | None

    def order(self, numbers: Sequence[int]) -> list[int]:
        """Several that go to the front, or a place back, go last one first: so they keep their order."""
        return list(reversed(numbers)) if self.priority in ("first", "less") else list(numbers)

    def at(self, client: Client) -> Callable[[int], None]:
        """The queue first: a start time is checked against its schedule, and a place is a place in it."""

        def change(number: int) -> None:
            if self.move is not None:
                client.move_job(number, self.move)
            if self.fields:
                client.update_job(number, **self.fields)
            if self.priority is not None:
                client.prioritize_job(number, self.priority)

        return change


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What is to be shown of each."""

    description: bool
    result: bool
    every: bool


def _show(session: Session, numbers: Sequence[int], looks: Looks) -> None:
    if session.json:
        shown = [_as_json(session, number, looks) for number in numbers]
        print_json(shown[0] if len(shown) == 1 else shown)
        return
    for place, number in enumerate(numbers):
        if place:
            click.echo()
        if looks.description:
            _describe(session.client.job(number))
        if looks.result or looks.every:
            _print_results(session, number, looks.every)


def _as_json(session: Session, number: int, looks: Looks) -> object:
    """The job, its result records, or the job with its `results`."""
    results = list[Result]()
    if looks.result or looks.every:
        results = session.client.results(number)
        if not looks.every and results:
            results = by_execution(results)[-1]
    if not looks.description:
        return results
    job = session.client.job(number).to_json()
    return job | ({"results": results} if looks.result or looks.every else {})


def _print_results(session: Session, number: int, every: bool) -> None:
    executions = by_execution(session.client.results(number))
    if not executions:
        raise NothingFound(f"job {number} has no output: it has not run yet")
    if every:
        for place, records in enumerate(executions, 1):
            click.echo(f"--- execution {place}: {ending(records)}")
            print_text(records)
    else:
        print_text(executions[-1])
        session.hint(f"job {number}: {ending(executions[-1])}")


def _describe(job: Job) -> None:
    print_fields(
        (
            ("Id", job.id),
            ("Queue", job.queue),
            ("Place", job.seq),
            ("Type", job.type),
            ("Status", job.status),
            ("Reason", reason_sentence(job.reason)),
            ("Progress", progress_sentence(job)),
            ("User", job.user_name),
            ("Created", job.create_time),
            ("Not before", job.start_time),
            ("Host", job.host_name),
            ("Directory", job.working_directory),
            ("Notify", " ".join(job.notify or ()) or None),
            ("Timeout", _seconds(job.timeout)),
            ("Silence", _seconds(job.silence)),
            ("Kill after", _seconds(job.kill_after)),
            ("Output limit", None if job.output_limit is None else f"{job.output_limit} bytes"),
            ("Failures", job.try_count or None),
            ("Notes", job.notes),
            ("Ended" if job.status in ("Done", "Failed") else "Last output", job.result_time),
            ("Exit code", job.exit_code),
            ("Output", "cut: its limit was reached, or the disk was full" if job.output_cut else None),
        )
    )
    if job.params:
        click.echo("Parameters:")
        print_fields((f"  {name}", value) for name, value in job.params.items())


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:g} s"
