"""`batch run`: a job into a queue, and followed."""

from typing import Any

import click

from batchd_cli.common import Command
from batchd_cli.following import follow_job
from batchd_cli.ordering import Ordered, order_options, placed
from batchd_cli.output import print_json_line
from batchd_cli.session import Session, pass_session


@click.command("run", cls=Command)
@order_options
@pass_session
def command(session: Session, /, **options: Any) -> int:
    """Put a job into a queue and follow it to its end.

    Takes what `batch enqueue` takes. What the job prints is printed, stdout to stdout and stderr to stderr,
    and the exit code is the job's own. Ctrl-C stops following; the job goes on. With --json: one object a
    line, {"id"} first, then output and changes as they come, the job itself last.

    \b
    Examples:
      batch run make test
      batch run -- pytest -x tests
      batch run -q night -t blender scene.blend && echo rendered
    """
    order = placed(session, Ordered(**options))
    number = session.client.enqueue(order.queue, order.job_type, order.params, **order.rest).id
    if session.json:
        print_json_line({"id": number})
    else:
        session.hint(f"job {number}")
    return follow_job(session, number)
