"""A job followed: the manager's server-sent events as records, over broken connections too."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic, sleep

from batchd_cli.connection import Connection
from batchd_cli.errors import BatchError, ProtocolError, ServerError, Unreachable
from batchd_cli.records import NoteEvent, OutputEvent, StatusEvent

PATIENCE_SECONDS = 60.0
"""So long a manager may be away (a restart, say) before following and waiting give up."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
AWAY = frozenset({502, 503, 504})

Event = OutputEvent | StatusEvent | NoteEvent
KINDS: dict[str, type[Event]] = {"output": OutputEvent, "status": StatusEvent, "note": NoteEvent}


class Patience:
    """Bears with a manager that is away, after it has answered once, for a limited time."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._seconds = seconds
        self._last_answer: float | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def answered(self) -> None:
        self._last_answer = monotonic()
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def bear(self, error: BatchError) -> None:
        """Pause, or raise what cannot be borne (any more)."""
        away = isinstance(error, Unreachable) or (isinstance(error, ServerError) and error.status in AWAY)
        if not away or self._last_answer is None or monotonic() - self._last_answer > self._seconds:
            raise error
        self.pause()

    def pause(self) -> None:
        sleep(self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True, kw_only=True)
class ServerSent:
    """One event as it was sent; `id` is what `Last-Event-ID` takes."""

    kind: str
    data: str
    id: str | None


def follow(connection: Connection, number: int) -> Iterator[Event]:
    """Output and changes of a job from its beginning until it has ended.

    Errors: NotFound, Forbidden; Unreachable when the manager stays away.
    """
    patience, last_id = Patience(), None
    while True:
        stream = connection.sibling()
        try:
            for event in _events(stream, number, last_id):
                patience.answered()
                last_id = event.id or last_id
                if event.kind == "end":
                    return
                if record := _record(event):
                    yield record
            patience.answered()  # closed without an end: the manager is going down
            patience.pause()
        except BatchError as error:
            patience.bear(error)
        finally:
            stream.close()


def _events(connection: Connection, number: int, last_id: str | None) -> Iterator[ServerSent]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    return parse(connection.lines(f"/job/{number}/stream", headers))


def parse(lines: Iterator[str]) -> Iterator[ServerSent]:
    """Events from the lines of a stream; one that is cut off before its empty line is none."""
    kind, data, number = "message", list[str](), None
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            number = value
        elif not line:
            if data or kind != "message":
                yield ServerSent(kind=kind, data="\n".join(data), id=number)
            kind, data = "message", []


def _record(event: ServerSent) -> Event | None:
    """None for a kind that newer managers send."""
    if event.kind not in KINDS:
        return None
    try:
        return KINDS[event.kind].from_json(json.loads(event.data))
    except ValueError as error:
        raise ProtocolError(f"an event {event.kind} with {event.data[:80]!r}") from error
