"""A table drawn by rich, as wide as the terminal. rich itself respects NO_COLOR and FORCE_COLOR."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

BETWEEN = 3  # a space of padding on each side and the box's own
UNCUT: Mapping[str, int] = {}
STYLES = {
    "Done": "green",
    "Failed": "red",
    "Processing": "cyan",
    "Waiting": "yellow",
    "Postponed": "dim",
}


def show(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    cut: Mapping[str, int] = UNCUT,
    optional: Sequence[str] = (),
) -> None:
    """Draw it on stdout; for `cut` and `optional` see `output.print_table`."""
    console = Console(highlight=False)
    console.print(build(headings, rows, width=console.width, cut=cut, optional=optional))


def build(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    cut: Mapping[str, int] = UNCUT,
    optional: Sequence[str] = (),
) -> Table:
    """Cells are text: what looks like rich's markup in them is shown as it is."""
    columns = {name: [row[place] for row in rows] for place, name in enumerate(headings)}
    widths = fitted(columns, width=width, cut=cut, optional=optional)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name, room in widths.items():
        if name in cut:
            table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=room)
        else:
            table.add_column(name, overflow="fold")
    for row in zip(*(columns[name] for name in widths), strict=True):
        styled = zip(widths, row, strict=True)
        table.add_row(
            *(Text(text, STYLES.get(text, "") if name == "STATUS" else "") for name, text in styled)
        )
    return table


def fitted(
    columns: dict[str, list[str]], *, width: int, cut: Mapping[str, int], optional: Sequence[str]
) -> dict[str, int]:
    """The columns to show and how wide each may be."""
    widths = {
        name: max(map(cell_len, (name, *texts)))
        for name, texts in columns.items()
        if name not in optional or any(texts)
    }
    leaving = [name for name in optional if name in widths]
    while True:
        narrowed = _narrowed(widths, width, cut)
        if _total(narrowed) <= width or not leaving:
            return narrowed
        del widths[leaving.pop()]


def _narrowed(widths: dict[str, int], width: int, cut: Mapping[str, int]) -> dict[str, int]:
    """The column that has most to give gives way first."""
    narrowed = dict(widths)
    able = [name for name in widths if name in cut]
    while able and _total(narrowed) > width:
        widest = max(able, key=lambda name: narrowed[name] - cut[name])
        if narrowed[widest] <= cut[widest]:
            break
        narrowed[widest] -= 1
    return narrowed


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + BETWEEN * (len(widths) - 1)
