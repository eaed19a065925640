"""What people are told of a queue."""

from batchd_cli.output import local_time
from batchd_cli.records import Queue


def window_sentence(queue: Queue) -> str | None:
    """Whether its window is open and when that changes; None for an older manager, which does not say."""
    if queue.open is None:
        return None
    change = local_time(queue.next_change) if queue.next_change else None
    if queue.open:
        return f"open until {change}" if change else "open"
    return f"opens {change}" if change else "closed"
