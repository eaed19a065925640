"""What is loaded only when it is needed, because start-up is a person's time.

The table is the whole list: a module that is heavy (dateparser, rich, PyYAML) has its imports at its top as
any other, and is reached through here; a command's module likewise.
"""

from importlib import import_module
from types import ModuleType

COMMANDS = {
    "enqueue": "Put a job into a queue; prints the new job's id.",
    "run": "Put a job into a queue and follow it to its end.",
    "ls": "List the queues, or the jobs of some queues.",
    "job": "Show, change or delete jobs.",
    "logs": "Print what a job has printed, also while it runs.",
    "why": "Say why a job waits.",
    "wait": "Wait until jobs have ended.",
    "top": "Watch the queues and the jobs in them.",
    "open": "Open a job's page in the Prefect UI.",
    "cancel": "Stop jobs that run, and take those that wait out of the turn.",
    "retry": "Run failed jobs again.",
    "hold": "Keep waiting jobs from starting.",
    "release": "Let jobs that are held start again.",
    "queue": "Show, add, change or delete a queue.",
    "schedule": "Show, add, change or delete schedules, and when they open next.",
    "type": "List the job types, or show some with their parameters.",
    "host": "List the hosts and how they are, show one, or care for it.",
    "stats": "Count the jobs of each queue by status.",
    "monitor": "Show the current metrics.",
    "user": "List the users, add one, change a password.",
    "grant": "Show, add or revoke a user's permissions.",
    "login": "Ask for your password and keep it for the next commands.",
    "logout": "Forget the password that `batch login` keeps.",
    "config": "Show the settings and where each comes from.",
    "completion": "Print a script that completes commands and names in your shell.",
    "shell": "A prompt that takes the same commands.",
}
"""Name → what `batch --help` says of it; `batchd_cli.commands.NAME.command` is the command itself."""

HEAVY = {
    "click_completion": "batchd_cli.click_completion",  # click's half of it
    "client_file": "batchd_cli.client_file",  # PyYAML
    "keyring_passwords": "batchd_cli.keyring_passwords",  # keyring, which may be missing
    "names": "batchd_cli.names",  # the client, for completion only
    "nearby": "batchd_cli.nearby",  # after an error only
    "rich_progress": "batchd_cli.rich_progress",  # rich
    "rich_table": "batchd_cli.rich_table",  # rich
    "rich_top": "batchd_cli.rich_top",  # rich
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
