"""Writes docs/reference/daemon.md from the commands themselves; with --check it only says whether that is due.

python docs/make_daemon_reference.py
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from reference_page import written_or_checked

from batchd_api import admin, daemon

PAGE = Path(__file__).parent / "reference" / "daemon.md"
PROGRAMS = {"batchd": daemon.main, "batchd-admin": admin.main}

INTRODUCTION = """\
# batchd and batchd-admin

<!-- Written by docs/make_daemon_reference.py from the commands; do not edit. -->

The daemon, and what is done on its machine without it. Both read the [configuration](configuration.md): the file that
`--config` or `BATCHD_CONFIG` names, else `~/.config/batchd/batchd.yaml`, else `/etc/batchd/batchd.yaml`.

## Exit codes

| code | `batchd` | `batchd-admin` |
|---|---|---|
| 0 | stopped as asked; `doctor`: nothing to fix; `drain`: no job runs | done |
| 1 | `doctor`: something to fix; `drain`: jobs still run | it cannot be done; `check-config`: there are errors |
| 2 | it cannot start, or a command line that is none | nothing could be begun, or a command line that is none |
"""


def page() -> str:
    return "\n".join(
        [INTRODUCTION, *(part for name, group in PROGRAMS.items() for part in program(name, group))]
    )


def program(name: str, group: click.Group) -> Iterator[str]:
    yield entry(name, group, level=2)
    for word, command in sorted(group.commands.items()):
        yield entry(f"{name} {word}", command, level=3)


def entry(name: str, command: click.Command, *, level: int) -> str:
    context = click.Context(command, info_name=name, terminal_width=500, **command.context_settings)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    rows = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
    lines = "".join(f"| `{cell(row[0])}` | {cell(row[1])} |\n" for row in rows if row)
    table = f"\n| option | |\n|---|---|\n{lines}" if lines else ""
    said = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return f"{'#' * level} {name}\n\n    {usage}\n\n{said}\n{table}"


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    return written_or_checked(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
