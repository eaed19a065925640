"""What a command works with: the settings, the client (made and authenticated when first used), stderr."""

import getpass
import os
import warnings
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from batchd_cli.client import Client, Tls, basic, user_header
from batchd_cli.common import Common
from batchd_cli.config import Config, folders, load
from batchd_cli.errors import PasswordNeeded
from batchd_cli.text import visible

P = ParamSpec("P")
T = TypeVar("T")


class Session:
    """One command's."""

    def __init__(self, common: Common) -> None:
        self._common = common

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

    def _open(self) -> Client:
        config = self.config
        tls = Tls(
            certificate=config.certificate,
            key=config.key,
            ca_certificate=config.ca_certificate,
            check_server=not config.disable_server_certificate_check,
        )
        client = Client(config.manager_url, tls=tls, trace=self._trace if self._common.debug else None)
        methods = [] if config.disable_auth else client.methods()
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

    def _credentials(self, methods: list[str]) -> dict[str, str]:
        config = self.config
        if "basic" not in methods:
            return user_header(config.username)
        password = config.password if config.password is not None else ask_password(config.username)
        return basic(config.username, password)

    def _trace(self, line: str) -> None:
        click.echo(visible(line), err=True)


def ask_password(username: str, prompt: str = "Password for {}: ") -> str:
    """From the terminal, without showing it. Errors: PasswordNeeded where there is no terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt.format(username))
        except (getpass.GetPassWarning, EOFError) as error:
            raise PasswordNeeded(username) from error


def ask_new_password(username: str) -> str:
    """Asked twice, until both are the same."""
    while True:
        first = ask_password(username, "New password for {}: ")
        if first == ask_password(username, "The same again: "):
            return first
        click.echo("These are two different ones; once more.", err=True)


def pass_session(function: Callable[Concatenate[Session, P], T]) -> Callable[P, T]:
    """Give a command its session as the first argument."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> T:
        session = Session(click.get_current_context().ensure_object(Common))
        return function(session, *args, **kwargs)

    return wrapper
