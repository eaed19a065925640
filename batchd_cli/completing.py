"""Completion of names that only the manager knows; what asks it is loaded when a key is pressed."""

from collections.abc import Callable
from typing import Any

import click

from batchd_cli.lazy import heavy

Complete = Callable[[click.Context, click.Parameter, str], list[Any]]


def names_of(kind: str) -> Complete:
    """For `shell_complete`: `queue type host schedule user job`."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
        found: list[Any] = heavy("names").find(kind, ctx, incomplete)
        return found

    return complete


QUEUE = names_of("queue")
TYPE = names_of("type")
HOST = names_of("host")
SCHEDULE = names_of("schedule")
USER = names_of("user")
JOB = names_of("job")
