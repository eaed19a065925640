"""Waiting for jobs by looking at them: often at first, then every second."""

from collections.abc import Callable, Sequence
from time import monotonic, sleep

from batchd_cli.errors import BatchError, TimedOut
from batchd_cli.records import Job
from batchd_cli.streaming import Patience

FIRST_LOOK_SECONDS = 0.1
LONGEST_LOOK_SECONDS = 1.0

Ask = Callable[[int], Job]
Tell = Callable[[Sequence[Job]], None]


def wait_for(
    ask: Ask, numbers: Sequence[int], *, timeout_seconds: float | None = None, tell: Tell = lambda _: None
) -> list[Job]:
    """The jobs as they ended, in the order of `numbers`; `tell` is told how all stand after each look.

    Errors: TimedOut; NotFound for one that is not there (any more).
    """
    deadline = None if timeout_seconds is None else monotonic() + timeout_seconds
    known: dict[int, Job] = {}
    patience, pause = Patience(), FIRST_LOOK_SECONDS
    while True:
        try:
            for number in numbers:
                if number not in known or not known[number].ended:
                    known[number] = ask(number)
                    patience.answered()
        except BatchError as error:
            patience.bear(error)
            continue
        tell(list(known.values()))
        running = [number for number in numbers if not known[number].ended]
        if not running:
            return [known[number] for number in numbers]
        left = pause if deadline is None else min(pause, deadline - monotonic())
        if left <= 0:
            raise TimedOut(_not_ended(running))
        sleep(left)
        pause = min(1.5 * pause, LONGEST_LOOK_SECONDS)


def _not_ended(numbers: Sequence[int]) -> str:
    which = ", ".join(map(str, numbers))
    return (
        f"job {which} has not ended in time" if len(numbers) == 1 else f"jobs {which} have not ended in time"
    )


def own_code(job: Job) -> int:
    """The exit code that says how a job ended: its own where it has one that a process can end with."""
    if job.status == "Done":
        return 0
    return job.exit_code if job.exit_code and 0 < job.exit_code < 256 else 1
