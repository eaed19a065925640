"""/ and what describes the service."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from batchd_api.answers import RETRY_AFTER_SECONDS, JsonAnswer
from batchd_api.dependencies import TheServices
from batchd_api.documentation import PAGE
from batchd_api.web_client import MONITOR_PAGE, START_PAGE


def authentication_methods(services: TheServices) -> JsonAnswer:
    """How one may log in; old clients ask before they ask for a password."""
    return JsonAnswer(services.authenticator.methods())


async def start_page(request: Request, services: TheServices) -> Response:
    return await services.web_client.page(START_PAGE, request.scope)


async def monitor_page(request: Request, services: TheServices) -> Response:
    return await services.web_client.page(MONITOR_PAGE, request.scope)


def health(services: TheServices) -> JsonAnswer:
    report = services.health.report()
    if report.is_well:
        return JsonAnswer(report.record())
    return JsonAnswer(report.record(), 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def docs() -> Response:
    """The description as a page; it needs nothing from any other address."""
    return HTMLResponse(PAGE)


def openapi(request: Request) -> JsonAnswer:
    return JsonAnswer(request.app.openapi())
