"""/ and what describes the service."""

from __future__ import annotations

from fastapi import Request

from batchd_api.answers import JsonAnswer
from batchd_api.dependencies import TheServices


def authentication_methods(services: TheServices) -> JsonAnswer:
    """How one may log in; old clients ask before they ask for a password."""
    return JsonAnswer(services.authenticator.methods())


def openapi(request: Request) -> JsonAnswer:
    return JsonAnswer(request.app.openapi())
