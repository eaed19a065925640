"""The options that every command takes, before the command or after its own options."""

import sys
from collections.abc import Callable
from typing import Any

import click

from batchd_cli.argv_cover import cover


class Common:
    """What the common options said, and the clients that were opened with them (see `session`)."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        self.flags: set[str] = set()
        self.clients: dict[tuple[tuple[str, str], ...], Any] = {}

    @property
    def debug(self) -> bool:
        return "debug" in self.flags

    @property
    def verbose(self) -> bool:
        return "verbose" in self.flags

    @property
    def quiet(self) -> bool:
        return "quiet" in self.flags

    @property
    def json(self) -> bool:
        return "json" in self.flags

    @property
    def utc(self) -> bool:
        return "utc" in self.flags

    def close(self) -> None:
        """Close the opened clients."""
        for client in self.clients.values():
            client.close()

    def copy(self) -> "Common":
        """The same for the next line of the shell: what a line sets does not stay, opened clients do."""
        other = Common()
        other.clients = self.clients
        other.options = dict(self.options)
        other.flags = set(self.flags)
        return other


def _store_text(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name:
        ctx.ensure_object(Common).options[param.name] = value


def _store_password(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value and not ctx.resilient_parsing:
        cover(value)
    _store_text(ctx, param, value)


def _read_password(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.ensure_object(Common).options["password"] = sys.stdin.readline().rstrip("\r\n")


def _store_flag(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and param.name:
        ctx.ensure_object(Common).flags.add(param.name)


Store = Callable[[click.Context, click.Parameter, Any], None]

_TEXTS: tuple[tuple[tuple[str, ...], str, str, Store], ...] = (
    (("-M", "--manager-url"), "URL", "The manager's address (default: http://localhost:9681).", _store_text),
    (("-U", "--username"), "NAME", "Who you are (default: your name on this system).", _store_text),
    (("-P", "--password"), "TEXT", "Better: `batch login`, or wait to be asked.", _store_password),
)
_FLAGS: tuple[tuple[tuple[str, ...], str, Store], ...] = (
    (("--password-stdin",), "Read the password from the first line of stdin.", _read_password),
    (("--json",), "Data as JSON, with the keys of the REST interface.", _store_flag),
    (("--utc",), "Times are shown and read in UTC, not in local time.", _store_flag),
    (("-d", "--debug"), "Show every request on stderr.", _store_flag),
    (("-v", "--verbose"), "Say more on stderr.", _store_flag),
    (("-q", "--quiet"), "No warnings and hints.", _store_flag),
)


def common_options(taken: set[str]) -> list[click.Option]:
    """Fresh options, without the names that a command uses itself."""
    options = [
        click.Option(_free(names, taken), metavar=metavar, help=text, expose_value=False, callback=store)
        for names, metavar, text, store in _TEXTS
    ]
    options += [
        click.Option(
            _free(names, taken), is_flag=True, is_eager=True, help=text, expose_value=False, callback=store
        )
        for names, text, store in _FLAGS
    ]
    return options


def _free(names: tuple[str, ...], taken: set[str]) -> list[str]:
    return [name for name in names if name not in taken]


class Command(click.Command):
    """A command with the common options; `-h` is help unless the command has a host option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.own = list(self.params)
        taken = {text for param in self.own for text in param.opts}
        self.params += common_options(taken)
        names = ["--help"] if "-h" in taken else ["-h", "--help"]
        self.context_settings.setdefault("help_option_names", names)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        mine = [param for param in self.own if isinstance(param, click.Option)]
        own = [record for param in mine if (record := param.get_help_record(ctx))]
        shared = [param for param in self.get_params(ctx) if param not in self.own]
        common = [record for param in shared if (record := param.get_help_record(ctx))]
        for title, rows in (("Options", own), ("Common options", common)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
