"""`batch shell`: a prompt that takes the same commands."""

import shlex
import sys
from contextlib import nullcontext

import click

from batchd_cli.common import Command, Common
from batchd_cli.lazy import heavy
from batchd_cli.line_editor import editing, remember
from batchd_cli.running import run

PROMPT = "batch> "
ENDS = ("exit", "quit")


@click.command("shell", cls=Command)
@click.pass_context
def command(ctx: click.Context) -> None:
    """A prompt that takes the same commands.

    It ends at exit, quit or the end of input. Tab completes commands, options and names; the arrows bring
    back earlier lines, also of earlier shells. Options given before `shell` hold for all of its commands.

    \b
    Examples:
      batch shell
      batch -U root shell
      batch shell < commands.txt
    """
    common = ctx.ensure_object(Common)
    group = ctx.find_root().command
    if not isinstance(group, click.Group):
        raise click.UsageError("the shell belongs to `batch`")

    def complete(words: list[str], incomplete: str) -> list[str]:
        items = heavy("click_completion").completions(group, common.copy(), words, incomplete)
        return [item.value for item in items if item.type == "plain"]

    with editing(complete) if sys.stdin.isatty() else nullcontext():
        while (words := _read()) is not None:
            if words[:1] in ([word] for word in ENDS):
                return
            if words[:1] == ["shell"]:
                click.echo("This is the shell already.", err=True)
            elif words:
                run(group, words, common.copy())


def _read() -> list[str] | None:
    """The next line's words; None at the end of input. Ctrl-C throws the line away."""
    try:
        line = input(PROMPT if sys.stdin.isatty() else "")
        if sys.stdin.isatty():
            remember(line)
        return shlex.split(line)
    except EOFError:
        return None
    except KeyboardInterrupt:
        click.echo(err=True)
        return []
    except ValueError as error:
        click.echo(f"Error: {error}", err=True)
        return []
