"""`batch shell`: a prompt that takes the same commands."""

import shlex
import sys
from contextlib import nullcontext

import click

from batchd_cli.common import Command, Common
from batchd_cli.lazy import heavy
from batchd_cli.line_editor import editing, remember
from batchd_cli.running import USAGE, run

PROMPT = "batch> "
ENDS = ("exit", "quit")
UNREADABLE = ["\0"]  # no line has this word


@click.command("shell", cls=Command)
@click.pass_context
def command(ctx: click.Context) -> int:
    """A prompt that takes the same commands.

    It ends at exit, quit or the end of input. A line that fails does not end it; where the lines come from
    a file or a pipe, the exit code is that of the last one that failed, 0 if none has. Tab completes
    commands, options and names; the arrows bring back earlier lines, also of earlier shells. Options given
    before `shell` hold for all of its commands.

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

    is_typed, failure = sys.stdin.isatty(), 0
    with editing(complete) if is_typed else nullcontext():
        while (words := _read()) is not None:
            if words[:1] in ([word] for word in ENDS):
                break
            failure = _carry_out(group, words, common.copy()) or failure
    return 0 if is_typed else failure


def _carry_out(group: click.Group, words: list[str], common: Common) -> int:
    """One line's exit code."""
    if words == UNREADABLE:
        return USAGE
    if words[:1] == ["shell"]:
        click.echo("This is the shell already.", err=True)
        return USAGE
    return run(group, words, common) if words else 0


def _read() -> list[str] | None:
    """The next line's words; None at the end of input, UNREADABLE. Ctrl-C throws the line away."""
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
        return UNREADABLE
