"""A drawn table fits the terminal: columns are left out and shortened in a fixed order."""

import os
import re
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from batchd_cli.job_table import CUT, HEADINGS, OPTIONAL
from batchd_cli.rich_table import build, fitted

from .conftest import BATCH, QUEUE, Manager

COLUMNS = (*HEADINGS, "PARAMETERS")
ROW = st.tuples(*(st.text(st.characters(categories=["L", "N"]), max_size=40) for _ in COLUMNS))


@given(rows=st.lists(ROW, max_size=4), width=st.integers(20, 250))
def test_a_table_of_jobs_gives_way_only_as_far_as_it_must(rows: list[tuple[str, ...]], width: int) -> None:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    widths = fitted(columns, width=width, cut=CUT, optional=OPTIONAL)
    assert [name for name in COLUMNS if name in widths] == list(widths)
    assert {name for name in COLUMNS if name not in OPTIONAL} <= set(widths)
    total = sum(widths.values()) + 3 * (len(widths) - 1)
    natural = {name: max(map(cell_len, (name, *columns[name]))) for name in widths}
    if total > width:
        assert not set(widths) & set(OPTIONAL)
    else:
        given_up = [name for name in OPTIONAL if any(columns[name]) and name not in widths]
        assert given_up == [name for name in OPTIONAL if any(columns[name])][-len(given_up) :] or not given_up
    assert all(widths[name] <= natural[name] for name in widths)
    assert all(widths[name] == natural[name] for name in widths if name not in CUT)


def test_a_table_that_fits_is_drawn_within_the_width() -> None:
    rows = [["17", "night", "3", "command", "New", "r" * 80, "anna", "c" * 19, "", "", "n" * 50, "p" * 90]]
    for width in range(70, 300, 7):
        console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
        console.print(build(COLUMNS, rows, width=width, cut=CUT, optional=OPTIONAL))
        lines = console.export_text().splitlines()
        assert len(lines) == 3, "a heading, a rule, a job"
        assert max(map(cell_len, lines)) <= width


def _ls(manager: Manager, **variables: str) -> str:
    done = subprocess.run(
        [BATCH, "ls"],
        env=os.environ | {"BATCH_MANAGER_URL": manager.url} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_force_color_draws_in_a_pipe_and_no_color_takes_the_colours(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/queue", [QUEUE])
    assert "\x1b" not in _ls(manager)
    assert "\x1b[1m" in _ls(manager, FORCE_COLOR="1")
    assert not re.search(r"\x1b\[3\d", _ls(manager, FORCE_COLOR="1", NO_COLOR="1"))
