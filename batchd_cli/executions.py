"""A job's results as its executions."""

from collections.abc import Iterable, Sequence

import click

from batchd_cli.output import local_time
from batchd_cli.records import Result


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


def ending(records: Sequence[Result]) -> str:
    """How the execution ended, or that it runs."""
    last = records[-1]
    if last.exit_code is None:
        return f"running, last heard of at {local_time(last.time)}"
    return f"exit code {last.exit_code} at {local_time(last.time)}"


def print_text(records: Iterable[Result], *, apart: bool = False) -> None:
    """What it wrote, in the order of time; a record is a line without its newline.

    With `apart` stderr goes to stderr, else both go to stdout.
    """
    for record in records:
        for text, error in ((record.stdout, False), (record.stderr, True)):
            if text:
                click.echo(text, color=True, err=error and apart)
        if not (record.stdout or record.stderr) and record.exit_code is None:
            click.echo()
