"""What a command works with: the settings, the client (made and authenticated when first used), stderr."""

import getpass
import os
import sys
import warnings
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from batchd_cli.client import Client, basic, known_password, tls_of, user_header
from batchd_cli.common import Common
from batchd_cli.config import Config, folders, load
from batchd_cli.connection import TIMEOUT_SECONDS
from batchd_cli.errors import NewPasswordNeeded, PasswordNeeded
from batchd_cli.output import print_json_line
from batchd_cli.text import visible

P = ParamSpec("P")
T = TypeVar("T")


class Session:
    """One command's."""

    def __init__(self, common: Common) -> None:
        self._common = common

    @property
    def json(self) -> bool:
        """Whether data is wanted as JSON."""
        return self._common.json

    @property
    def verbose(self) -> bool:
        return self._common.verbose

    @property
    def people_look_on(self) -> bool:
        """Whether a display that changes may be drawn on stderr."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not self._common.quiet

    @cached_property
    def config(self) -> Config:
        config = load(self._common.options, os.environ, folders())
        for sentence in config.warnings:
            self.warn(sentence)
        self.say(f"manager {config.manager_url}, user {config.username}")
        return config

    @property
    def client(self) -> Client:
        """Made once for the same options, so that a shell asks the password once.

        Errors: ConfigError, PasswordNeeded, Unreachable.
        """
        options = tuple(sorted(self._common.options.items()))
        if options not in self._common.clients:
            self._common.clients[options] = self._open()
        client: Client = self._common.clients[options]
        return client

    def connect(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Client:
        """One that is not logged in."""
        trace = self._trace if self._common.debug else None
        url, tls = self.config.manager_url, tls_of(self.config)
        return Client(url, tls=tls, trace=trace, timeout_seconds=timeout_seconds)

    def _open(self) -> Client:
        client = self.connect()
        methods = [] if self.config.disable_auth else client.methods()
        client.authenticate(self._credentials(methods))
        return client

    def warn(self, sentence: str) -> None:
        """A warning on stderr."""
        if not self._common.quiet:
            click.echo(f"Warning: {visible(sentence, lines=True)}", err=True)

    def hint(self, sentence: str) -> None:
        """Something that is not data, on stderr."""
        if not self._common.quiet:
            click.echo(visible(sentence, lines=True), err=True)

    def say(self, sentence: str) -> None:
        """The same, only with --verbose."""
        if self._common.verbose:
            self.hint(sentence)

    def next_step(self, sentence: str) -> None:
        """What one may want to do now, for people only."""
        if self.people_look_on and sys.stdout.isatty() and not self.json:
            click.secho(f"Hint: {visible(sentence)}", err=True, dim=not os.environ.get("NO_COLOR"))

    def error(self, sentence: str) -> None:
        """What went wrong with one of several."""
        click.echo(f"Error: {visible(sentence, lines=True)}", err=True)

    def done(self, sentence: str, **what: object) -> None:
        """Something is changed: a sentence with --verbose, with --json what it was and the REST answer."""
        if self.json:
            print_json_line({**what, "result": "done"})
        self.say(sentence)

    def _credentials(self, methods: list[str]) -> dict[str, str]:
        config = self.config
        if "basic" not in methods:
            return user_header(config.username)
        password = known_password(config)
        return basic(config.username, ask_password(config.username) if password is None else password)

    def _trace(self, line: str) -> None:
        click.echo(visible(line), err=True)


def ask_password(username: str) -> str:
    """From the terminal, without showing it. Errors: PasswordNeeded where there is no terminal."""
    password = _typed(f"Password for {username}: ")
    if password is None:
        raise PasswordNeeded(username)
    return password


def ask_new_password(username: str) -> str:
    """Asked twice, until both are the same. Errors: NewPasswordNeeded where there is no terminal."""
    while True:
        first = _typed(f"New password for {username}: ")
        again = _typed("The same again: ") if first is not None else None
        if first is None or again is None:
            raise NewPasswordNeeded(username)
        if first == again:
            return first
        click.echo("These are two different ones; once more.", err=True)


def _typed(prompt: str) -> str | None:
    """None: there is no terminal, or its user has ended the input."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except (getpass.GetPassWarning, EOFError):
            return None


def pass_session(function: Callable[Concatenate[Session, P], T]) -> Callable[P, T]:
    """Give a command its session as the first argument."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> T:
        session = Session(click.get_current_context().ensure_object(Common))
        return function(session, *args, **kwargs)

    return wrapper
