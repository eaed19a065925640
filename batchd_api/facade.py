"""The REST facade: one FastAPI application, made from what the composition root hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from importlib import metadata
from types import MappingProxyType
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from batchd_api.answers import ErrorAnswers, JsonAnswer, accept_of
from batchd_api.authentication import Authenticator
from batchd_api.db.session import Database
from batchd_api.dependencies import Guard, Services
from batchd_api.documentation import Described, documented
from batchd_api.errors import BatchdError, Invalid
from batchd_api.gate import Gate
from batchd_api.host_ledger import host_phases
from batchd_api.http_counts import HttpCounts, HttpMeter
from batchd_api.options import FacadeOptions
from batchd_api.outbox import Outbox
from batchd_api.prometheus import Prometheus
from batchd_api.routes.table import ROUTES
from batchd_api.services.attempt_reports import AttemptReports
from batchd_api.services.choices import Choices
from batchd_api.services.follow import Follower
from batchd_api.services.ground import Ground
from batchd_api.services.health import NOT_EMBEDDED, Health
from batchd_api.services.hosts import HostStates
from batchd_api.services.jobs import Jobs
from batchd_api.services.metric_history import MetricHistory
from batchd_api.services.metrics import MetricOptions, Metrics
from batchd_api.services.outputs import Outputs
from batchd_api.services.passwords import Passwords
from batchd_api.services.queues import Queues
from batchd_api.services.results import Results
from batchd_api.services.schedules import Schedules
from batchd_api.services.stats import Stats
from batchd_api.services.users import Permissions, Users
from batchd_api.web_client import WebClient
from batchd_flows.job_types import JobTypes
from batchd_infra.file_roots import FileRoots
from batchd_infra.hosts import Hosts


@dataclass(frozen=True, kw_only=True)
class FacadeParts:
    """`changed` is called, in any thread, after each commit that may let a job start or must be shown.

    `variables` are the installation's: a parameter that is missing may be found there. `prefect_state` says
    how the Prefect server is, if it is ours to keep; it is asked in any thread.
    """

    options: FacadeOptions
    database: Database
    job_types: JobTypes
    hosts: Hosts
    clock: Callable[[], datetime]
    changed: Callable[[], None]
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    prefect_state: Callable[[], str] = lambda: NOT_EMBEDDED
    passwords: Passwords | None = None
    file_roots: FileRoots = field(default_factory=FileRoots)
    outbox: Outbox | None = None


def create_facade(parts: FacadeParts) -> FastAPI:
    """The database is upgraded and has its first rows.

    The server must hand over the peer's own address, by which `trusted_proxies` go: uvicorn with
    `proxy_headers=False`.
    """
    answers = ErrorAnswers(basic=parts.options.basic and not parts.options.auth_disabled)
    facade = described_routes()
    counts = HttpCounts()
    services = _services(parts, counts)
    facade.state.services = services
    facade.add_middleware(Gate, options=parts.options, answers=answers)
    facade.add_middleware(HttpMeter, counts=counts)
    _answer_errors(facade, answers, services.web_client)
    return facade


def described_routes() -> Described:
    """Every route and what the API's description says of it; nothing behind them yet."""
    facade = Described(
        title="batchd",
        version=metadata.version("batchd"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=JsonAnswer,
    )
    for route in ROUTES:
        facade.add_api_route(
            route.path,
            route.endpoint,
            methods=[route.method],
            dependencies=[Depends(Guard(access=route.access))],
            response_model=None,
            **documented(route.method, route.path, route.access),
        )
    return facade


def _services(parts: FacadeParts, counts: HttpCounts) -> Services:
    ground = Ground(
        database=parts.database,
        job_types=parts.job_types,
        hosts=parts.hosts,
        zone=parts.options.timezone,
        clock=parts.clock,
        changed=parts.changed,
        variables=parts.variables,
        prefect_ui_url=parts.options.prefect_ui_url,
        default_syntax=parts.options.default_syntax,
        notify_targets=parts.options.notify_targets,
        file_roots=parts.file_roots,
    )
    passwords = parts.passwords or Passwords(static_salt=parts.options.static_salt)
    users, queues = Users(parts.database, passwords, parts.clock), Queues(ground)
    metrics = Metrics(ground, _metric_options(parts.options), counts, host_phases)
    return Services(
        authenticator=Authenticator(parts.options, users),
        users=users,
        permissions=Permissions(ground),
        queues=queues,
        jobs=Jobs(ground),
        results=Results(ground),
        outputs=Outputs(ground),
        attempt_reports=AttemptReports(ground, parts.outbox),
        follower=Follower(ground),
        schedules=Schedules(ground),
        stats=Stats(ground),
        metrics=metrics,
        prometheus=Prometheus(metrics, counts),
        is_scraped_openly=parts.options.prometheus_open,
        metric_history=MetricHistory(parts.database),
        choices=Choices(ground, queues),
        hosts=HostStates(ground),
        health=Health(parts.database, parts.clock, parts.prefect_state),
        web_client=WebClient(parts.options.static_path, parts.options.prefect_ui_url),
        body_limit_bytes=parts.options.body_limit_bytes,
    )


def _metric_options(options: FacadeOptions) -> MetricOptions:
    return MetricOptions(
        daemon=options.daemon, with_memory=options.memory_metrics, with_http=options.http_metrics
    )


def _answer_errors(facade: FastAPI, answers: ErrorAnswers, web_client: WebClient) -> None:
    async def ours(request: Request, error: Any) -> Response:
        return answers.of(error, accept_of(request.scope))

    async def the_routers(request: Request, error: Any) -> Response:
        if error.status_code == HTTPStatus.NOT_FOUND:  # where no route is, a file may be
            found = await web_client.file(request.scope["path"], request.scope)
            if found is not None:
                return found
        return answers.of_http(error, request)

    async def the_frameworks(request: Request, error: Any) -> Response:
        return answers.of(Invalid("The request has a value that cannot be used."), accept_of(request.scope))

    facade.add_exception_handler(BatchdError, ours)
    facade.add_exception_handler(HTTPException, the_routers)
    facade.add_exception_handler(RequestValidationError, the_frameworks)
