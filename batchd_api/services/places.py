"""Where a job runs: its own host, else its type's, else its queue's, else this machine."""

from __future__ import annotations

from batchd_api.permissions import Place


def place_of(job_host: str | None, type_host: str | None, queue_host: str | None) -> Place:
    if job_host is not None:
        return Place(name=job_host)
    if type_host is not None:
        return Place(name=type_host)
    return Place(name=queue_host, by_default=True)
