"""Which jobs are meant: ids, ranges, `last`, and filters."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Unpack

import click

from batchd_cli.client import Client, Job
from batchd_cli.errors import Forbidden, NothingFound
from batchd_cli.job_calls import JobFilter

LAST = "last"
LONGEST_PAGE = 10_000
RECENTLY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Which:
    """One word of a command line: an id, a range with both its ends, or your newest job (both None)."""

    first: int | None
    last: int | None

    @property
    def is_one_id(self) -> bool:
        return self.first is not None and self.first == self.last


class WhichType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """`17`, `3-7`, `last`."""

    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Which:
        text = str(value).lower()
        if text == LAST:
            return Which(first=None, last=None)
        first, dash, last = text.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise click.BadParameter(f"{value!r} is no id, no range as 3-7, and not {LAST}", ctx, param)
        if dash and int(last) < int(first):
            raise click.BadParameter(f"{value!r} ends before it begins", ctx, param)
        return Which(first=int(first), last=int(last or first))


WHICH = WhichType()


def find_jobs(client: Client, queue: str | None = None, **which: Unpack[JobFilter]) -> list[Job]:
    """Of one queue or of all that the user may look into; by id, those of one queue by their place."""
    if queue is not None:
        found = client.jobs(queue, **which)
    else:
        try:
            found = client.all_jobs(**which)
        except Forbidden:
            found = sorted(_of_each_queue(client, which), key=lambda job: job.id)
    return [job for job in found if _fits(job, which)]


def _of_each_queue(client: Client, which: JobFilter) -> Iterator[Job]:
    for queue in client.queues():
        try:
            yield from client.jobs(queue.name, **which)
        except Forbidden:
            continue


def _fits(job: Job, which: JobFilter) -> bool:
    """Looked at here too: an older manager knows no filters but the status."""
    user, since, after = which.get("user"), which.get("since"), which.get("after")
    return (
        (user is None or job.user_name == user)
        and (since is None or job.create_time >= since)
        and (after is None or job.id > after)
    )


def numbers_of(client: Client, username: str, words: Iterable[Which]) -> list[int]:
    """The ids, each once, in the order they were given; of a range those that are there.

    Errors: NothingFound for a range without a job, or for `last` of one who has none.
    """
    numbers = dict[int, None]()
    for word in words:
        numbers |= dict.fromkeys(_numbers(client, username, word))
    return list(numbers)


def _numbers(client: Client, username: str, word: Which) -> list[int]:
    if word.first is None or word.last is None:
        return [newest(client, username)]
    if word.is_one_id:
        return [word.first]
    page: JobFilter = {"status": "all", "after": max(word.first - 1, 0)}
    if word.last - word.first < LONGEST_PAGE:
        page["limit"] = word.last - word.first + 1
    found = [job.id for job in find_jobs(client, **page) if job.id <= word.last]
    if not found:
        raise NothingFound(f"no job has an id from {word.first} to {word.last}")
    return found


def newest(client: Client, username: str) -> int:
    """The user's newest job. Errors: NothingFound."""
    recently: JobFilter = {"status": "all", "user": username, "since": datetime.now(UTC) - RECENTLY}
    ever: JobFilter = {"status": "all", "user": username}
    for which in (recently, ever):
        if jobs := find_jobs(client, **which):
            return max(job.id for job in jobs)
    raise NothingFound(f"{username} has no job")


def jobs_of(client: Client, numbers: Sequence[int]) -> list[Job]:
    """The jobs by their ids. Errors: NotFound."""
    return [client.job(number) for number in numbers]
