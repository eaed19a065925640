"""What routes are given: the caller, already permitted, the services, the body."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from pydantic import AfterValidator
from starlette.concurrency import run_in_threadpool

from batchd_api.authentication import Authenticator
from batchd_api.bodies import parse_object, read_body
from batchd_api.errors import JobNotFound, NotFound, NotPermitted, PermissionNotFound, WrongToken
from batchd_api.gate import INNER_SLASH
from batchd_api.permissions import Access, Caller, Right, Scope
from batchd_api.prometheus import Prometheus
from batchd_api.services.attempt_reports import AttemptReports
from batchd_api.services.choices import Choices
from batchd_api.services.follow import Follower
from batchd_api.services.health import Health
from batchd_api.services.hosts import HostStates
from batchd_api.services.jobs import Jobs
from batchd_api.services.metric_history import MetricHistory
from batchd_api.services.metrics import Metrics
from batchd_api.services.outputs import Outputs
from batchd_api.services.queues import Queues
from batchd_api.services.results import Results
from batchd_api.services.schedules import Schedules
from batchd_api.services.stats import Stats
from batchd_api.services.users import Permissions, Users
from batchd_api.web_client import WebClient

_ID = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything a route can ask for."""

    authenticator: Authenticator
    users: Users
    permissions: Permissions
    queues: Queues
    jobs: Jobs
    results: Results
    outputs: Outputs
    follower: Follower
    schedules: Schedules
    stats: Stats
    metrics: Metrics
    metric_history: MetricHistory
    choices: Choices
    hosts: HostStates
    health: Health
    attempt_reports: AttemptReports
    web_client: WebClient
    body_limit_bytes: int
    prometheus: Prometheus
    is_scraped_openly: bool
    logins: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A route's authentication dependency: finds out who calls, and judges the right that the route needs."""

    access: Access

    async def __call__(self, request: Request) -> None:
        if self.access.scope is Scope.OPEN or self._is_open_scrape(request):
            return
        if self.access.scope is Scope.ATTEMPT:
            await run_in_threadpool(_check_token, request)
        elif not await run_in_threadpool(self._let_in_who_is_known, request):
            services = _services(request)
            # Checks of passwords wait among themselves: they never hold the threads of other requests.
            verify = partial(services.authenticator.verify, request.headers, _peer(request))
            caller = await to_thread.run_sync(verify, limiter=services.logins)
            await run_in_threadpool(self._let_in, caller, request)

    def _is_open_scrape(self, request: Request) -> bool:
        return self.access.scope is Scope.SCRAPE and _services(request).is_scraped_openly

    def _let_in_who_is_known(self, request: Request) -> bool:
        caller = _services(request).authenticator.recall(request.headers, _peer(request))
        if caller is not None:
            self._let_in(caller, request)
        return caller is not None

    def _let_in(self, caller: Caller, request: Request) -> None:
        request.state.caller = caller
        if self.access.right is not None:
            _JUDGES[self.access.scope](caller, self.access.right, request, _services(request))


def _check_token(request: Request) -> None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    attempt_id = attempt_id_of(request.path_params["attempt_id"])
    if kind.lower() != "bearer":
        raise WrongToken
    _services(request).attempt_reports.check(attempt_id, token.strip())


def _peer(request: Request) -> str | None:
    return request.client.host if request.client else None


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


def _judge_self(caller: Caller, right: Right, request: Request, _services: Services) -> None:
    if name_of(request.path_params["name"]) != caller.name:
        caller.require(right)


_JUDGES: dict[Scope, Judge] = {
    Scope.SELF: _judge_self,
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


def attempt_id_of(path_part: str) -> int:
    """Whatever is no execution has no token either."""
    if not _ID.fullmatch(path_part) or int(path_part) < 1:
        raise WrongToken
    return int(path_part)


def permission_id_of(path_part: str) -> int:
    if not _ID.fullmatch(path_part) or int(path_part) < 1:
        raise PermissionNotFound(name_of(path_part))
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
