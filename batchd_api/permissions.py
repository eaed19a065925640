"""Who may do what: grants are records, `allowed` is the one function that judges them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from batchd_api.errors import NotPermitted

DEFAULT_HOST = "__default__"


class Right(StrEnum):
    """The closed list that old clients know."""

    SUPER_USER = "SuperUser"
    CREATE_JOBS = "CreateJobs"
    VIEW_JOBS = "ViewJobs"
    MANAGE_JOBS = "ManageJobs"
    VIEW_QUEUES = "ViewQueues"
    MANAGE_QUEUES = "ManageQueues"
    VIEW_SCHEDULES = "ViewSchedules"
    MANAGE_SCHEDULES = "ManageSchedules"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A right that a user has; None = any. Type and host narrow CreateJobs alone."""

    right: Right
    queue_name: str | None = None
    type_name: str | None = None
    host_name: str | None = None

    def record(self) -> dict[str, str | None]:
        return {
            "permission": self.right.value,
            "queue_name": self.queue_name,
            "type_name": self.type_name,
            "host_name": self.host_name,
        }


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a job would run; None is this machine. `by_default`: only the queue says so, nobody chose it."""

    name: str | None
    by_default: bool = False


def allowed(
    grants: Iterable[Grant],
    needed: Right,
    *,
    queue: str | None = None,
    job_type: str | None = None,
    place: Place | None = None,
) -> bool:
    """Whether one of the grants is enough. None asks for any: only a grant not tied to one will do."""
    for grant in grants:
        if grant.right is Right.SUPER_USER:
            return True
        if grant.right is needed and _covers(grant.queue_name, queue):
            narrowed = needed is Right.CREATE_JOBS
            if not narrowed or (_covers(grant.type_name, job_type) and _reaches(grant.host_name, place)):
                return True
    return False


def _covers(granted: str | None, asked: str | None) -> bool:
    return granted is None or granted == asked


def _reaches(granted: str | None, place: Place | None) -> bool:
    if granted is None:
        return True
    if place is None:
        return False
    return place.by_default if granted == DEFAULT_HOST else granted == place.name


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever sent the request."""

    name: str
    grants: tuple[Grant, ...] = ()

    def may(
        self,
        needed: Right,
        *,
        queue: str | None = None,
        job_type: str | None = None,
        place: Place | None = None,
    ) -> bool:
        return allowed(self.grants, needed, queue=queue, job_type=job_type, place=place)

    def may_create_something(self, queue: str) -> bool:
        """Whether there is a type and a host with which `may` could be true."""
        return any(
            grant.right is Right.SUPER_USER
            or (grant.right is Right.CREATE_JOBS and _covers(grant.queue_name, queue))
            for grant in self.grants
        )

    def require(
        self,
        needed: Right,
        *,
        queue: str | None = None,
        job_type: str | None = None,
        place: Place | None = None,
    ) -> None:
        if not self.may(needed, queue=queue, job_type=job_type, place=place):
            raise NotPermitted(self.name, needed, _where(queue, job_type, place))


def _where(queue: str | None, job_type: str | None, place: Place | None) -> str:
    parts = [f'for the queue "{queue}"'] if queue is not None else []
    if job_type is not None:
        parts.append(f'the type "{job_type}"')
    if place is not None:
        parts.append("this machine" if place.name is None else f'the host "{place.name}"')
    return " " + " and ".join(parts) if parts else ""


SUPERUSER = (Grant(right=Right.SUPER_USER),)


class Scope(StrEnum):
    """To what the right that a route needs must apply."""

    OPEN = "open"  # no authentication
    SCRAPE = "scrape"  # authentication is enough; none, where `metrics.prometheus` is `open`
    USER = "user"  # authentication is enough
    ATTEMPT = "attempt"  # the token of the execution named in the path, and nothing else
    ANY = "any"  # not tied to a queue
    QUEUE = "queue"  # the queue named in the path
    SELF = "self"  # none for the user named in the path
    CREATE = "create"  # something in that queue; the service looks at type and host
    JOB = "job"  # the queue of the job named in the path


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a route asks of its caller."""

    scope: Scope
    right: Right | None = None
