"""Data on stdout: tables (drawn on a terminal, aligned columns in a pipe) and fields of one thing."""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import click

from batchd_cli.lazy import heavy
from batchd_cli.text import visible

GAP = "  "


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A heading line and one line a row. In a pipe: columns two spaces apart, no colours, nothing cut."""
    cells = [[cell(value) for value in row] for row in rows]
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        heavy("rich_table").show(headings, cells)
        return
    lines = [list(headings), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo(GAP.join(padded).rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One thing's fields, one a line; None is left out."""
    shown = [(name, value) for name, value in fields if value is not None]
    width = max(len(name) for name, _ in shown) + 1
    for name, value in shown:
        click.echo(f"{name + ':':<{width}} {cell(value)}".rstrip())


def cell(value: object) -> str:
    """A value on one line: nothing for None, local time, yes and no, control characters as escapes."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return local_time(value)
    return visible(str(value))


def local_time(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
