"""`batch open`: a job's page in the Prefect UI."""

import os
import sys
import webbrowser

import click

from batchd_cli import completing
from batchd_cli.common import Command
from batchd_cli.errors import NothingFound
from batchd_cli.finding import WHICH, Which, numbers_of
from batchd_cli.output import cell, print_json
from batchd_cli.session import Session, pass_session


@click.command("open", cls=Command)
@click.argument("which", type=WHICH, metavar="ID|last", shell_complete=completing.JOB)
@click.option("--print", "only_print", is_flag=True, help="Print the address and open nothing.")
@pass_session
def command(session: Session, which: Which, only_print: bool) -> None:
    """Open a job's page in the Prefect UI.

    Prints its address, and opens a browser where there is one and stdout is a terminal.

    \b
    Examples:
      batch open 17
      batch open last --print
    """
    for number in numbers_of(session.client, session.config.username, [which]):
        job = session.client.job(number)
        if not job.flow_run_url:
            raise NothingFound(f"job {number} has no page in the Prefect UI (yet)")
        if session.json:
            print_json({"id": number, "flow_run_url": job.flow_run_url})
        else:
            click.echo(cell(job.flow_run_url))
        if not only_print and not session.json and sys.stdout.isatty():
            _browse(session, job.flow_run_url)


def _browse(session: Session, url: str) -> None:
    """Only a browser with a window: one in the terminal would take it away. Only a page: nothing that a
    manager may have put there instead."""
    windows = sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not url.startswith(("http://", "https://")) or not windows or not webbrowser.open(url):
        session.next_step("there is no browser here to open it with")
