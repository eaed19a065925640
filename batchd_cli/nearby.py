"""`did you mean …?` for names that the manager does not know."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from urllib.parse import unquote

from batchd_cli.client import Client
from batchd_cli.errors import UNKNOWN, BatchError, ServerError

LISTS: Mapping[str, Callable[[Client], Iterable[str]]] = {
    "queue": lambda client: (one.name for one in client.queues()),
    "stats": lambda client: (one.name for one in client.queues()),
    "schedule": lambda client: (one.name for one in client.schedules()),
    "type": lambda client: (one.name for one in client.job_types()),
    "host": lambda client: client.hosts(),
    "user": lambda client: client.users(),
}


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """The question, where something is near enough."""
    near = get_close_matches(name, list(names), n=2)
    return f"did you mean {' or '.join(near)}?" if near else None


def suggestion(error: ServerError, client: Client) -> str | None:
    """The question for a refusal that is about an unknown name; asks the manager for its names."""
    kind, name = _unknown(error)
    if kind not in LISTS:
        return None
    try:
        return did_you_mean(name, LISTS[kind](client))
    except BatchError:  # who may not see the list is told no names
        return None


def _unknown(error: ServerError) -> tuple[str, str]:
    said = UNKNOWN.search(error.sentence)
    if said:
        return said[1].removeprefix("job "), said[2]
    segments = error.path.partition("?")[0].split("/")[1:]
    if error.status != 404 or len(segments) < 2:
        return "", ""
    return segments[0], unquote(segments[1])
