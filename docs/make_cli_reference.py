"""Writes docs/reference/cli.md from the commands themselves; with --check it only says whether that is due.

python docs/make_cli_reference.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from reference_page import written_or_checked

from batchd_cli.common import Command, common_options
from batchd_cli.config import VARIABLES
from batchd_cli.errors import EXIT_CODES
from batchd_cli.lazy import COMMANDS, command_module
from batchd_cli.main import cli

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 100

INTRODUCTION = """\
# The command line

<!-- Written by docs/make_cli_reference.py from the commands; do not edit. -->

`batch` speaks HTTP to a manager. Data goes to stdout, everything else to stderr. On a terminal
tables are drawn and fit it; in a pipe they are plain columns, two spaces apart, with nothing cut.

- **Several jobs**: where `[ID|FROM-TO|last]...` stands, ids, ranges (`3-7`) and `last` (your newest
  job) may be mixed. Filters select jobs too. Before more than five are changed you are asked; where
  nobody can be asked, the command is refused (exit code 3) without `--yes`. `--dry-run` shows which
  jobs these are.
- **`--json`**: every command. The keys are those of the REST interface, all of them, every time;
  times are UTC. Lists are one array; what comes bit by bit is one object a line. A change answers
  `{"id": 17, "result": "done"}`, or `{"id": 17, "error": "…"}` for one of several that was refused.
- **Times** are local, shown and read; with `--utc` they are UTC. Write `22:00`, `tomorrow 6:00`,
  `2026-11-24 22:00`, `24 nov`, `+3h`, `in 2 days`, `next monday`; `any` or `now` clear one.
- **Colours** follow the terminal: `NO_COLOR` turns them off, `FORCE_COLOR` turns them and the drawn
  tables on in a pipe.
- **Passwords**: `batch login` asks for yours and keeps it in the system's keyring (where the Python
  package `keyring` is installed) or in `~/.config/batchd/credentials`, which only you can read.
  `--password-stdin` reads it from stdin. What `-P` says can be seen by others until Python has
  started, then it is covered (on Linux).
"""


def page() -> str:
    parts = [INTRODUCTION, exit_codes(), variables(), common(), *map(command, COMMANDS)]
    return "\n".join(parts)


def exit_codes() -> str:
    rows = "".join(f"| {code} | {text} |\n" for code, text in EXIT_CODES.items())
    return (
        "## Exit codes\n\n| code | meaning |\n|---|---|\n"
        f"{rows}\n`wait`, `run` and `logs -f` end with the job's own exit code where the job has failed "
        "(1 where it has none that a process can end with). That may be any code of this table.\n"
    )


def variables() -> str:
    rows = "".join(f"| `{name}` | `{key}` |\n" for key, name in VARIABLES.items())
    return (
        "## Settings\n\nAn option comes first, then a variable, then `client.yaml` in `~/.config/batchd/` or "
        "`/etc/batchd/`, then the default. `batch config show` says where each comes from.\n\n"
        f"| variable | key of client.yaml |\n|---|---|\n{rows}"
    )


def common() -> str:
    context = click.Context(cli, info_name="batch", terminal_width=WIDTH, **cli.context_settings)
    return (
        "## Common options\n\nBefore the command or after its own options. Where a command has the letter "
        f"for an option of its own, only the long name is left.\n\n{options(common_options(set()), context)}"
    )


def command(name: str) -> str:
    made: Command = command_module(name).command
    context = click.Context(made, info_name=f"batch {name}", terminal_width=WIDTH, **made.context_settings)
    usage = made.get_usage(context).removeprefix("Usage: ")
    own = [param for param in made.own if isinstance(param, click.Option)]
    rows = options(own, context)
    return f"## {name}\n\n    {' '.join(usage.split())}\n\n{text(made.help or '')}\n{rows}"


def options(params: list[click.Option], context: click.Context) -> str:
    if not params:
        return ""
    rows = (param.get_help_record(context) for param in params)
    lines = "".join(f"| `{escaped(row[0])}` | {escaped(row[1])} |\n" for row in rows if row)
    return f"| option | |\n|---|---|\n{lines}"


def escaped(cell: str) -> str:
    return re.sub(r"\s+", " ", cell).replace("|", "\\|")


def text(written: str) -> str:
    """click's help text: paragraphs, and blocks that keep their lines behind a \\b."""
    return "\n".join(paragraphs("\n".join(unindented(written))))


def unindented(written: str) -> list[str]:
    lines = written.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return [lines[0], *(line[margin:] for line in lines[1:])]


def paragraphs(written: str) -> Iterator[str]:
    for block in written.strip().split("\n\n"):
        if block.lstrip().startswith("\b"):
            title, *lines = block.split("\b", 1)[1].strip("\n").splitlines()
            yield f"{title.strip()}\n"
            yield from ("    " + line.strip() for line in lines)
        else:
            yield block.strip()
        yield ""


def main(arguments: list[str]) -> int:
    return written_or_checked(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
