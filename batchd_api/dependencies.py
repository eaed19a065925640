"""What routes are given: the caller, already permitted, the services, the body."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import AfterValidator

from batchd_api.authentication import Authenticator
from batchd_api.bodies import parse_object, read_body
from batchd_api.errors import JobNotFound, NotFound, NotPermitted
from batchd_api.gate import INNER_SLASH
from batchd_api.permissions import Access, Caller, Right, Scope
from batchd_api.services.choices import Choices
from batchd_api.services.jobs import Jobs
from batchd_api.services.queues import Queues
from batchd_api.services.results import Results
from batchd_api.services.schedules import Schedules
from batchd_api.services.stats import Stats
from batchd_api.services.users import Users

_ID = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything a route can ask for."""

    authenticator: Authenticator
    users: Users
    queues: Queues
    jobs: Jobs
    results: Results
    schedules: Schedules
    stats: Stats
    choices: Choices
    body_limit_bytes: int


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A route's authentication dependency: finds out who calls, and judges the right that the route needs."""

    access: Access

    def __call__(self, request: Request) -> None:
        if self.access.scope is Scope.OPEN:
            return
        services = _services(request)
        peer = request.client.host if request.client else None
        caller = services.authenticator.identify(request.headers, peer)
        request.state.caller = caller
        if self.access.right is not None:
            _JUDGES[self.access.scope](caller, self.access.right, request, services)


Judge = Callable[[Caller, Right, Request, Services], None]


def _judge_any(caller: Caller, right: Right, _request: Request, _services: Services) -> None:
    caller.require(right)


def _judge_queue(caller: Caller, right: Right, request: Request, _services: Services) -> None:
    caller.require(right, queue=name_of(request.path_params["name"]))


def _judge_creation(caller: Caller, right: Right, request: Request, _services: Services) -> None:
    queue = name_of(request.path_params["name"])
    if not caller.may_create_something(queue):
        raise NotPermitted(caller.name, right, f' for the queue "{queue}"')


def _judge_job(caller: Caller, right: Right, request: Request, services: Services) -> None:
    if not caller.may(right):
        caller.require(right, queue=services.jobs.queue_of(job_id_of(request.path_params["job_id"])))


_JUDGES: dict[Scope, Judge] = {
    Scope.ANY: _judge_any,
    Scope.QUEUE: _judge_queue,
    Scope.CREATE: _judge_creation,
    Scope.JOB: _judge_job,
}


def name_of(path_part: str) -> str:
    return path_part.replace(INNER_SLASH, "/")


def job_id_of(path_part: str) -> int:
    """Anything that no job can have as its id is an unknown job."""
    if not _ID.fullmatch(path_part):
        raise NotFound("job", name_of(path_part))
    if int(path_part) < 1:
        raise JobNotFound(int(path_part))
    return int(path_part)


def seq_of(path_part: str) -> int:
    if not _ID.fullmatch(path_part):
        raise NotFound("job", name_of(path_part))
    return int(path_part)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


# Not blocking, so not worth a thread each: these are coroutines.


async def _given_services(request: Request) -> Services:
    return _services(request)


async def _given_caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _given_body(request: Request) -> dict[str, Any]:
    """JSON whatever the Content-Type says, also when there is none."""
    return parse_object(await read_body(request, _services(request).body_limit_bytes))


TheServices = Annotated[Services, Depends(_given_services)]
TheCaller = Annotated[Caller, Depends(_given_caller)]
TheBody = Annotated[dict[str, Any], Depends(_given_body)]
Name = Annotated[str, AfterValidator(name_of)]
