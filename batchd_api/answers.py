"""What goes back to a client: JSON, and errors as one sentence (or RFC 9457 where it is asked for)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from batchd_api.errors import (
    BatchdError,
    BodyTooLarge,
    Conflict,
    DatabaseFull,
    DatabaseUnavailable,
    Invalid,
    LoginDelayed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TooManyListeners,
)

DONE = "done"
PROBLEM = "application/problem+json"
RETRY_AFTER_SECONDS = 5
MAX_SENTENCE_LENGTH = 1000

STATUS_OF: dict[type[Exception], int] = {
    Invalid: 400,
    NotAuthenticated: 401,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    BodyTooLarge: 413,
    DatabaseUnavailable: 503,
    TooManyListeners: 503,
    DatabaseFull: 507,
}
INTERNAL_SENTENCE = "Something went wrong here; the log of batchd says what."


def dump(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        errors="replace"
    )


class JsonAnswer(Response):
    media_type = "application/json; charset=utf-8"

    def render(self, content: Any) -> bytes:
        return dump(content)


def is_known(mark: str, if_none_match: str) -> bool:
    """Whether a client that sends this header has the answer with this ETag."""
    known = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return mark in known or "*" in known


def printable(text: str) -> str:
    """One line that no terminal or log takes for anything but text."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= MAX_SENTENCE_LENGTH else shown[:MAX_SENTENCE_LENGTH] + "…"


class ErrorAnswers:
    """The one table from errors to HTTP."""

    def __init__(self, *, basic: bool) -> None:
        self._basic = basic

    def of(self, error: BatchdError, accept: str) -> Response:
        status = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)
        sentence = INTERNAL_SENTENCE if status == HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
        return self._answer(status, sentence, accept, self._headers(error))

    def of_http(self, error: HTTPException, request: Request) -> Response:
        """What the router says: an unknown path, or another method."""
        path = unquote(request.scope["raw_path"].decode("latin-1"), errors="replace")
        sentences = {
            404: f'There is nothing at "{path}".',
            405: f'The method {request.method} is not known at "{path}".',
        }
        sentence = sentences.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        return self._answer(error.status_code, sentence, accept_of(request.scope), headers)

    def internal(self, accept: str) -> Response:
        return self._answer(500, INTERNAL_SENTENCE, accept, {})

    def _headers(self, error: BatchdError) -> dict[str, str]:
        headers = {}
        if isinstance(error, NotAuthenticated) and self._basic:
            headers["WWW-Authenticate"] = 'Basic realm="batchd"'
        if isinstance(error, LoginDelayed):
            headers["Retry-After"] = str(error.retry_after_seconds)
        if isinstance(error, DatabaseUnavailable | TooManyListeners):
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return headers

    @staticmethod
    def _answer(status: int, sentence: str, accept: str, headers: dict[str, str]) -> Response:
        sentence = printable(sentence)
        headers["X-Content-Type-Options"] = "nosniff"
        if PROBLEM not in accept.lower():
            return Response(sentence, status, headers, "text/plain; charset=utf-8")
        problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
        return Response(dump(problem), status, headers, f"{PROBLEM}; charset=utf-8")


def accept_of(scope: Any) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
