"""The options that every command takes, before the command or after its own options."""

from typing import Any

import click


class Common:
    """What the common options said, and the clients that were opened with them (see `session`)."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        self.debug = False
        self.verbose = False
        self.quiet = False
        self.clients: dict[tuple[tuple[str, str], ...], Any] = {}

    def close(self) -> None:
        """Close the opened clients."""
        for client in self.clients.values():
            client.close()

    def copy(self) -> "Common":
        """The same for the next line of the shell: what a line sets does not stay, opened clients do."""
        other = Common()
        other.clients = self.clients
        other.options = dict(self.options)
        other.debug, other.verbose, other.quiet = self.debug, self.verbose, self.quiet
        return other


def _store_text(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name:
        ctx.ensure_object(Common).options[param.name] = value


def _store_flag(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    common = ctx.ensure_object(Common)
    if value and param.name:
        setattr(common, param.name, True)


_TEXTS = (
    ("-M", "--manager-url", "URL", "The manager's address (default: http://localhost:9681)."),
    ("-U", "--username", "NAME", "Who you are (default: your name on this system)."),
    ("-P", "--password", "TEXT", "Better: BATCH_PASSWORD, client.yaml, or wait to be asked."),
)
_FLAGS = (
    ("-d", "--debug", "Show every request on stderr."),
    ("-v", "--verbose", "Say more on stderr."),
    ("-q", "--quiet", "No warnings and hints."),
)


def common_options(taken: set[str]) -> list[click.Option]:
    """Fresh options, without the letters that a command uses itself."""
    options = [
        click.Option(
            [letter] * (letter not in taken) + [name],
            metavar=metavar,
            help=text,
            expose_value=False,
            callback=_store_text,
        )
        for letter, name, metavar, text in _TEXTS
    ]
    options += [
        click.Option(
            [letter] * (letter not in taken) + [name],
            is_flag=True,
            help=text,
            expose_value=False,
            callback=_store_flag,
        )
        for letter, name, text in _FLAGS
    ]
    return options


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
        own = [record for param in self.own if (record := param.get_help_record(ctx))]
        shared = [param for param in self.get_params(ctx) if param not in self.own]
        common = [record for param in shared if (record := param.get_help_record(ctx))]
        for title, rows in (("Options", own), ("Common options", common)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
