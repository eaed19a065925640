"""One command line run to its exit code: data on stdout, all else on stderr."""

import io
import sys
from collections.abc import Sequence

import click

from batchd_cli.common import Common
from batchd_cli.errors import BatchError, ServerError
from batchd_cli.lazy import heavy
from batchd_cli.text import visible

INTERRUPTED = 130
USAGE = 2
TAKES_COMMANDS = ("enqueue", "run")


def run(group: click.Group, arguments: Sequence[str], common: Common | None = None) -> int:
    """Run it; an error becomes a sentence on stderr and an exit code (with --debug: a traceback)."""
    own = common is None
    common = common or Common()
    _never_fail_to_print()
    try:
        code = group.main(list(arguments), prog_name="batch", obj=common, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and not common.quiet:
            _say_whose(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except BatchError as error:
        if common.debug:
            sys.excepthook(type(error), error, error.__traceback__)
        _say(error, common)
        return error.exit_code
    finally:
        if own:
            common.close()
    return code if isinstance(code, int) else 0


def _say(error: BatchError, common: Common) -> None:
    click.echo(f"Error: {visible(str(error), lines=True)}", err=True)
    if common.quiet:
        return
    for hint in filter(None, (_near(error, common), error.hint)):
        click.echo(f"Hint: {visible(hint)}", err=True)


def _say_whose(error: click.NoSuchOption) -> None:
    """Where a command of the system is written, the option may be that command's."""
    name = error.ctx.info_name if error.ctx else None
    if name in TAKES_COMMANDS:
        line = f"batch {name} -- COMMAND {error.option_name} …"
        click.echo(f"Hint: -- before a command leaves its options alone: {line}", err=True)


def _near(error: BatchError, common: Common) -> str | None:
    """Asked of the manager that refused, so only where one has answered."""
    if not isinstance(error, ServerError) or not common.clients:
        return None
    return heavy("nearby").suggestion(error, list(common.clients.values())[-1])  # type: ignore[no-any-return]


def _never_fail_to_print() -> None:
    """A terminal that lacks a letter of a job's notes shows an escape, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """`batch ls | head -1` closed it: say nothing more there, not even at exit."""
    sys.stdout = io.StringIO()
