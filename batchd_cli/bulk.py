"""What is done to several jobs at once: which, whether that is meant, and one after the other."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

import click

from batchd_cli import completing
from batchd_cli.client import Client, Job
from batchd_cli.common import Command
from batchd_cli.errors import BatchError, NotConfirmed, NothingFound, ServerError, SomeFailed, Unauthorized
from batchd_cli.finding import WHICH, Which, find_jobs, jobs_of, numbers_of
from batchd_cli.job_table import print_jobs
from batchd_cli.output import print_json, print_json_line
from batchd_cli.parameters import STATUS, TIME, StartTime
from batchd_cli.session import Session, pass_session

FEW = 5
"""Up to so many jobs are changed without a question."""

F = TypeVar("F", bound=Callable[..., Any])


class Filters(TypedDict):
    """What the filter options say."""

    queue: str | None
    only_status: str | None
    user: str | None
    since: StartTime | None


def which_argument(function: F) -> F:
    """`ID…`: ids, ranges, `last`."""
    return click.argument(
        "which", type=WHICH, nargs=-1, metavar="[ID|FROM-TO|last]...", shell_complete=completing.JOB
    )(function)


def filter_options(*, status: Sequence[str], letters: bool) -> Callable[[F], F]:
    """The filters, --dry-run and --yes; with the letters -q -s -u -y where the command has them free."""

    def name(letter: str, *rest: str) -> tuple[str, ...]:
        return (letter, *rest) if letters else rest

    options = (
        click.option(
            *name("-q", "--queue"),
            metavar="QUEUE",
            shell_complete=completing.QUEUE,
            help="Jobs of this queue.",
        ),
        click.option(*name("-s", *status), "only_status", type=STATUS, help="Jobs in this status."),
        click.option(*name("-u", "--user"), metavar="USER", help="Jobs of this user."),
        click.option("--since", type=TIME, metavar="TIME", help="Jobs created since then."),
        click.option("--dry-run", is_flag=True, help="Show which jobs these are, and change nothing."),
        click.option(*name("-y", "--yes"), is_flag=True, help=f"Do not ask, be they more than {FEW}."),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def any_filter(filters: Filters) -> bool:
    return any(value is not None for value in filters.values())


def selected(
    session: Session, which: Sequence[Which], filters: Filters, statuses: Sequence[str] | None
) -> list[Job]:
    """The jobs that are meant; with filters only those in one of `statuses` (None: in any).

    Errors: NothingFound when there is none.
    """
    if not which and not any_filter(filters):
        raise click.UsageError("name the jobs: ids, ranges as 3-7, last, or --queue, --user, --since …")
    client = session.client
    named = numbers_of(client, session.config.username, which)
    if not any_filter(filters):
        return jobs_of(client, named)
    found = [job for job in _filtered(client, filters, statuses) if not which or job.id in named]
    if not found:
        raise NothingFound("no job is as asked for")
    return found


def _filtered(client: Client, filters: Filters, statuses: Sequence[str] | None) -> Iterable[Job]:
    only = filters["only_status"]
    since = filters["since"].at if filters["since"] else None
    for status in [only] if only else statuses or ["all"]:
        yield from find_jobs(client, filters["queue"], status=status, user=filters["user"], since=since)


def confirm(session: Session, count: int, question: str, yes: bool) -> None:
    """Ask before more than a few. Errors: NotConfirmed, also where nobody can be asked."""
    if yes or count <= FEW:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed(f"this would {question.lower()} {count} jobs")
    if not click.confirm(f"{question} {count} jobs?", err=True):
        raise NotConfirmed("nothing is changed")


def show(session: Session, jobs: Sequence[Job]) -> None:
    """What --dry-run says."""
    if session.json:
        print_json(jobs)
    else:
        print_jobs(jobs)


def for_each(session: Session, numbers: Sequence[int], act: Callable[[int], None], done: str) -> None:
    """Act on each; a refusal of one of several is said and the next one's turn comes.

    Errors: SomeFailed at the end.
    """
    codes = list[int]()
    for number in numbers:
        try:
            act(number)
        except Unauthorized:
            raise
        except BatchError as error:
            if len(numbers) == 1 or not isinstance(error, (ServerError, NothingFound, Unfit)):
                raise
            codes.append(error.exit_code)
            session.error(str(error) if isinstance(error, Unfit) else f"job {number}: {error}")
            if session.json:
                print_json_line({"id": number, "error": str(error)})
        else:
            session.done(f"job {number} {done}", id=number)
    if codes:
        raise SomeFailed(len(codes), len(numbers), codes[0])


class Unfit(BatchError):
    """A job in a status in which this makes no sense."""


@dataclass(frozen=True, kw_only=True)
class Verb:
    """Something done to jobs: in which statuses they may be, and which ones filters mean by themselves."""

    name: str
    done: str
    statuses: tuple[str, ...]
    meant: tuple[str, ...]
    act: Callable[[Client, int], None]

    def check(self, job: Job) -> None:
        if job.status not in self.statuses:
            raise Unfit(
                f"job {job.id} is {job.status}, and {self.name} is for jobs that are {_or(self.statuses)}"
            )


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def bulk_command(verb: Verb, text: str) -> click.Command:
    """The command of a verb."""

    @click.command(verb.name, cls=Command, help=text)
    @which_argument
    @filter_options(status=("--status",), letters=True)
    @pass_session
    def command(
        session: Session,
        which: tuple[Which, ...],
        dry_run: bool,
        yes: bool,
        queue: str | None,
        only_status: str | None,
        user: str | None,
        since: StartTime | None,
    ) -> None:
        if only_status and only_status not in verb.statuses:
            raise click.UsageError(f"{verb.name} is for jobs that are {_or(verb.statuses)}")
        filters = Filters(queue=queue, only_status=only_status, user=user, since=since)
        jobs = {job.id: job for job in selected(session, which, filters, verb.meant)}
        if dry_run:
            show(session, list(jobs.values()))
            return
        confirm(session, len(jobs), verb.name.capitalize(), yes)

        def act(number: int) -> None:
            verb.check(jobs[number])
            verb.act(session.client, number)

        for_each(session, list(jobs), act, verb.done)

    return command
