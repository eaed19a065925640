"""Data on stdout: tables (drawn on a terminal, aligned columns in a pipe), fields of one thing, JSON."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

import click

from batchd_cli.common import Common
from batchd_cli.lazy import heavy
from batchd_cli.record import plain
from batchd_cli.text import visible

GAP = "  "
UNCUT: Mapping[str, int] = {}


def is_drawn(stream: TextIO) -> bool:
    """Whether tables and colours go there: to a terminal, or anywhere with FORCE_COLOR."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    cut: Mapping[str, int] = UNCUT,
    optional: Sequence[str] = (),
) -> None:
    """A heading line and one line a row. In a pipe: columns two spaces apart, no colours, nothing cut.

    On a terminal the columns `cut` are shortened to fit, each down to its figure, and of the `optional`
    ones the empty are left out, and the others too, last first, where there is no room.
    """
    cells = [[cell(value) for value in row] for row in rows]
    if is_drawn(sys.stdout):
        heavy("rich_table").show(headings, cells, cut=cut, optional=optional)
        return
    lines = [list(headings), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo(GAP.join(padded).rstrip())


def print_json(value: object) -> None:
    """Records and plain values; for people's eyes on a terminal, on one line elsewhere. ASCII, so that no
    encoding of a pipe breaks it and no letter moves a cursor."""
    click.echo(json.dumps(_jsonable(value), indent=2 if sys.stdout.isatty() else None))


def print_json_line(value: object) -> None:
    """One object of a stream, at once."""
    click.echo(json.dumps(_jsonable(value)))
    sys.stdout.flush()


def _jsonable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(one) for one in value]
    return plain(value)


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
    """On the wall clock here; with --utc the world's, with a Z."""
    context = click.get_current_context(silent=True)
    common = context.find_object(Common) if context else None
    if common and common.utc:
        return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
