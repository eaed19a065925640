"""Who wants to be told of what: `fail,done:ops` in job types, queues and jobs."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from batchd_flows.errors import FlowsError


class NoticeEvent(enum.StrEnum):
    FAIL = "fail"  # a job has failed for good
    DONE = "done"
    LONG = "long"  # it runs much longer than is usual
    QUEUE_EMPTY = "queue-empty"  # nothing waits or runs in the queue any more


class NoticeError(FlowsError):
    """What is written is no wish to be told of something."""


@dataclass(frozen=True, kw_only=True, order=True)
class Notice:
    """`target` None: the only one that there is."""

    event: NoticeEvent
    target: str | None = None

    def __str__(self) -> str:
        return self.event.value if self.target is None else f"{self.event.value}:{self.target}"


def parse_notices(texts: Iterable[str]) -> tuple[Notice, ...]:
    """Each text is EVENT[,EVENT…][:TARGET]. Raises NoticeError."""
    found: dict[Notice, None] = {}
    for text in texts:
        events, colon, target = text.partition(":")
        if colon and not target.strip():
            raise NoticeError(f'"{text}" names no target after the colon')
        for word in events.split(","):
            found[Notice(event=_event(word.strip()), target=target.strip() or None)] = None
    return tuple(found)


def _event(word: str) -> NoticeEvent:
    try:
        return NoticeEvent(word.lower())
    except ValueError:
        known = ", ".join(NoticeEvent)
        raise NoticeError(f'nobody can be told of "{word}"; it is one of {known}') from None
