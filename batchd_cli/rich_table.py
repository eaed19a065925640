"""A table drawn by rich, as wide as the terminal. rich itself respects NO_COLOR."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw it on stdout. Cells are text: what looks like rich's markup in them is shown as it is."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console(highlight=False).print(table)
