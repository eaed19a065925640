"""`batch top` on a terminal, drawn by rich."""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from batchd_cli.errors import BatchError
from batchd_cli.job_table import CUT, HEADINGS, OPTIONAL, job_row
from batchd_cli.output import cell
from batchd_cli.rich_table import build
from batchd_cli.text import visible
from batchd_cli.watching import QUEUE_HEADINGS, Look

HELP = "q or Ctrl-C ends it"
LINES_AROUND = 9  # title, two headings with their rules, blank lines, the line of help
QUITS = ("q", "Q", "\x1b", "\x04")


def watch(ask: Callable[[], Look], interval_seconds: float) -> None:
    """Until q is pressed. A manager that is away is said, and asked again."""
    console = Console(highlight=False)
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        last: Look | None = None
        while True:
            trouble = ""
            try:
                last = ask()
            except BatchError as error:
                if last is None:
                    raise
                trouble = visible(str(error))
            live.update(screen(last, console.width, console.height, trouble), refresh=True)
            if _quits(interval_seconds):
                return


def screen(look: Look, width: int, height: int, trouble: str = "") -> RenderableType:
    """Everything that fits: all queues, then as many jobs as there is room for."""
    queues = look.queue_rows()
    room = max(1, height - LINES_AROUND - len(queues))
    rows = [[cell(value) for value in job_row(job, with_queue=True)] for job in look.jobs[:room]]
    left = len(look.jobs) - len(rows)
    last = trouble or (f"{left} more jobs; {HELP}" if left else HELP)
    return Group(
        Text(look.title, style="bold"),
        Text(),
        build(QUEUE_HEADINGS, queues, width=width, optional=("WINDOW", "DONE", "FAILED")),
        Text(),
        build((*HEADINGS, "PARAMETERS"), rows, width=width, cut=CUT, optional=OPTIONAL),
        Text(),
        Text(last, style="red" if trouble else "dim"),
    )


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys come as they are pressed and are not shown; Ctrl-C still interrupts."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _quits(seconds: float) -> bool:
    """Wait for the next look, or for a key that ends it; any other key looks at once."""
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        watched = [sys.stdin] if sys.stdin.isatty() else []
        if select.select(watched, [], [], left)[0]:
            key = os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")
            return key in QUITS or not key
    return False
