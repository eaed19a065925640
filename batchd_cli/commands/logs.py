"""`batch logs`: what a job has printed."""

import sys
from collections.abc import Sequence

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.executions import by_execution, ending, print_text
from batchd_cli.finding import WHICH, Which, numbers_of
from batchd_cli.following import STREAMS, follow_job
from batchd_cli.output import print_json
from batchd_cli.records import Result
from batchd_cli.session import Session, pass_session


@click.command("logs", cls=Command)
@click.argument("which", type=WHICH, metavar="ID|last", shell_complete=completing.JOB)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended; the exit code is its own.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Only the last N lines so far.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of its N-th execution.")
@click.option("--stream", type=click.Choice(STREAMS), help="Only this one, byte for byte.")
@pass_session
def command(
    session: Session,
    which: Which,
    follow: bool,
    lines: int | None,
    attempt: int | None,
    stream: str | None,
) -> int:
    """Print what a job has printed, also while it runs.

    Of its last execution, stdout to stdout and stderr to stderr. With --json: result records, with -f one
    object a line.

    \b
    Examples:
      batch logs 17
      batch logs -f 17
      batch logs last -n 20
      batch logs 17 --stream stdout > file       exactly its bytes
    """
    if follow and (attempt or stream):
        raise click.UsageError("-f follows both streams of the execution that runs; leave out the rest")
    if stream and (lines is not None or session.json):
        raise click.UsageError("--stream gives the bytes as they are; leave out -n and --json")
    (number,) = numbers_of(session.client, session.config.username, [which])
    if follow:
        return follow_job(session, number, last_lines=lines)
    if stream:
        sys.stdout.buffer.write(session.client.output(number, stream, attempt=attempt))
        sys.stdout.buffer.flush()
        if session.client.output_is_cut(number, attempt):
            session.hint("the job wrote more than this: the rest was not kept")
    else:
        _print(session, number, attempt, lines)
    return 0


def _print(session: Session, number: int, attempt: int | None, lines: int | None) -> None:
    executions = by_execution(session.client.results(number))
    if len(executions) < (attempt or 1):
        ran = f"has run {len(executions)} times" if executions else "has not run yet"
        raise NothingFound(f"job {number} {ran}")
    records = executions[(attempt or 0) - 1]
    shown = records if lines is None else _last(records, lines)
    if session.json:
        print_json(shown)
    else:
        print_text(shown, apart=True)
    session.next_step(f"job {number}: {ending(records)}")


def _last(records: Sequence[Result], lines: int) -> list[Result]:
    """Records are lines, but for the one that tells the exit code."""
    texts = [record for record in records if record.exit_code is None or record.stdout or record.stderr]
    return texts[-lines:] if lines else []
