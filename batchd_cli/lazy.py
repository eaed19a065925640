"""What is loaded only when it is needed, because start-up is a person's time.

The table is the whole list: a module that is heavy (dateparser, rich, PyYAML) has its imports at its top as
any other, and is reached through here; a command's module likewise.
"""

from importlib import import_module
from types import ModuleType

COMMANDS = {
    "enqueue": "Put a job into a queue; prints the new job's id.",
    "ls": "List the queues, or the jobs of some queues.",
    "job": "Show, change or delete a job.",
    "queue": "Show, add, change or delete a queue.",
    "schedule": "Show, add or delete schedules.",
    "type": "List the job types, or show some with their parameters.",
    "host": "List the hosts, one a line.",
    "stats": "Count the jobs of each queue by status.",
    "monitor": "Show the current metrics.",
    "user": "List the users, add one, change a password.",
    "grant": "Show, add or revoke a user's permissions.",
    "shell": "A prompt that takes the same commands.",
}
"""Name → what `batch --help` says of it; `batchd_cli.commands.NAME.command` is the command itself."""

HEAVY = {
    "client_file": "batchd_cli.client_file",  # PyYAML
    "rich_table": "batchd_cli.rich_table",  # rich
    "times": "batchd_cli.times",  # dateutil
    "word_dates": "batchd_cli.word_dates",  # dateparser
}


def command_module(name: str) -> ModuleType:
    """The module of a command of the table."""
    if name not in COMMANDS:
        raise KeyError(name)
    return import_module(f"batchd_cli.commands.{name}")


def heavy(name: str) -> ModuleType:
    """A module of the table, imported now."""
    return import_module(HEAVY[name])
