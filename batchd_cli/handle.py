"""A job that was enqueued, to be waited for and followed."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from batchd_cli.job_calls import JobCalls
from batchd_cli.records import Job
from batchd_cli.streaming import Event
from batchd_cli.waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class JobHandle:
    """A job by its id, at the client that it was submitted with."""

    id: int
    client: JobCalls = field(repr=False)

    def job(self) -> Job:
        """As it stands now."""
        return self.client.job(self.id)

    def wait(self, timeout_seconds: float | None = None) -> Job:
        """The job when it is Done or Failed. Errors: TimedOut."""
        return wait_for(self.client.job, [self.id], timeout_seconds=timeout_seconds)[0]

    def follow(self) -> Iterator[Event]:
        """Its output and changes as they come, from its beginning until it has ended."""
        return self.client.follow(self.id)

    def cancel(self) -> None:
        self.client.cancel_job(self.id)
