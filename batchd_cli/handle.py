"""A job that was enqueued, to be waited for and followed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from batchd_cli.records import Job
from batchd_cli.streaming import Event
from batchd_cli.waiting import wait_for


class AsksOfJobs(Protocol):
    """The part of a client that a handle needs."""

    def job(self, number: int) -> Job: ...

    def follow(self, number: int) -> Iterator[Event]: ...

    def cancel_job(self, number: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class JobHandle:
    """A job by its id, at the client that it was enqueued with."""

    id: int
    client: AsksOfJobs = field(repr=False)

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
