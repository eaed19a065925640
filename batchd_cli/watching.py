"""What `batch top` shows: gathered in one look."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from batchd_cli.client import Client, Job, Queue
from batchd_cli.errors import Forbidden
from batchd_cli.finding import find_jobs
from batchd_cli.output import cell, local_time
from batchd_cli.queue_words import window_sentence
from batchd_cli.record import plain

SHOWN = ("Processing", "Waiting", "New")
MOST_JOBS = 100
QUEUE_HEADINGS = ("ON", "QUEUE", "RUNS", "WAITS", "DONE", "FAILED", "WINDOW")


@dataclass(frozen=True, kw_only=True)
class Look:
    """The queues, the counts by queue and status (empty for who may not see them), the foremost jobs."""

    time: datetime
    queues: Sequence[Queue]
    stats: dict[str, dict[str, int]]
    jobs: Sequence[Job]

    def to_json(self) -> dict[str, object]:
        return {
            "time": plain(self.time),
            "queues": plain(self.queues),
            "stats": self.stats,
            "jobs": plain(self.jobs),
        }

    @property
    def title(self) -> str:
        return f"batchd  {local_time(self.time)}"

    def queue_rows(self) -> list[list[str]]:
        return [[cell(value) for value in self._queue_row(queue)] for queue in self.queues]

    def _queue_row(self, queue: Queue) -> tuple[object, ...]:
        counts = self.stats.get(queue.name, {})
        return (
            "*" if queue.enabled else "-",
            queue.name,
            counts.get("processing", 0),
            counts.get("new", 0) + counts.get("waiting", 0),
            counts.get("done", 0),
            counts.get("failed", 0),
            window_sentence(queue),
        )


def look(client: Client) -> Look:
    """Ask the manager. Running jobs come first, then those that wait, at most MOST_JOBS of each."""
    queues = client.queues()
    jobs = [job for status in SHOWN for job in find_jobs(client, status=status, limit=MOST_JOBS)]
    return Look(time=datetime.now(UTC), queues=queues, stats=_stats(client, jobs), jobs=jobs)


def _stats(client: Client, jobs: Sequence[Job]) -> dict[str, dict[str, int]]:
    """Who may not count all jobs counts those that are to be seen."""
    try:
        return client.stats()
    except Forbidden:
        counts: dict[str, dict[str, int]] = {}
        for job in jobs:
            of_queue = counts.setdefault(job.queue, {})
            of_queue[job.status.lower()] = of_queue.get(job.status.lower(), 0) + 1
        return counts
