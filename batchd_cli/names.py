"""What the manager knows by name, for completion: quickly, without a question and without an error."""

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from batchd_cli.client import Client, Job, basic, known_password, user_header
from batchd_cli.common import Common
from batchd_cli.errors import BatchError
from batchd_cli.finding import LAST, find_jobs
from batchd_cli.nearby import LISTS
from batchd_cli.session import Session
from batchd_cli.text import visible

PATIENCE_SECONDS = 2
MOST = 200


def find(kind: str, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """Those that begin with what is typed; none where the manager cannot be asked."""
    common = ctx.ensure_object(Common).copy()
    common.flags.add("quiet")
    try:
        client = _client(common)
        items = _jobs(client) if kind == "job" else map(CompletionItem, LISTS[kind](client))
        return [item for item in items if item.value.startswith(incomplete)]
    except BatchError:
        return []


def _client(common: Common) -> Client:
    """A shell's own, else one that never asks for a password."""
    if common.clients:
        client: Client = list(common.clients.values())[-1]
        return client
    session = Session(common)
    client = session.connect(PATIENCE_SECONDS)
    username, password = session.config.username, known_password(session.config)
    client.authenticate(user_header(username) | (basic(username, password) if password is not None else {}))
    return client


def _jobs(client: Client) -> Iterable[CompletionItem[str]]:
    newest = sorted(find_jobs(client, status="all"), key=lambda job: -job.id)[:MOST]
    return [CompletionItem(str(job.id), help=_help(job)) for job in newest] + [CompletionItem(LAST)]


def _help(job: Job) -> str:
    return visible(f"{job.status} in {job.queue}: {job.notes or ' '.join(job.params.values())}")[:60]
