"""`batch`: the group of commands. Nothing heavy is imported here (tests/unit/batchd_cli/test_startup.py)."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches

import click

from batchd_cli.common import common_options
from batchd_cli.errors import EXIT_CODES
from batchd_cli.lazy import COMMANDS, command_module
from batchd_cli.running import run
from batchd_cli.version import __version__


class LazyGroup(click.Group):
    """Commands by name from the table; a command's module is imported when it is the one to run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = command_module(cmd_name).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = get_close_matches(name, COMMANDS, n=2, cutoff=0.5)
            question = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"No such command {name!r}.{question}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES.items()])


HELP = """Queues of long jobs that run in their time windows.

\b
Examples:
  batch enqueue echo hello world       a job in the default queue
  batch run -q night make              the same, followed to its end
  batch ls                             the queues
  batch ls night                       what waits in one, and why
  batch logs 17 -f                     what a job prints
  batch job 17 -p first                the next to run
  batch cancel --queue night --user anna --dry-run

`batch COMMAND --help` says more of each. The manager's address, the queue and the user come from the
options, BATCH_* variables, or ~/.config/batchd/client.yaml; `batch config show` says from where.
"""


def _group_callback() -> None:
    """The group itself does nothing: its options store themselves."""


cli = LazyGroup(
    name="batch",
    callback=_group_callback,
    help=HELP,
    params=list(common_options(set())),
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(__version__, prog_name="batch")(cli)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    sys.exit(run(cli, sys.argv[1:] if arguments is None else arguments))
