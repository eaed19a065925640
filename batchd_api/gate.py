"""What every request passes before any route: its path made plain, its Host and Origin judged.

An ASGI layer, so that errors and answers of the framework carry the same headers and sentences as ours.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchd_api.answers import ErrorAnswers, accept_of
from batchd_api.errors import BatchdError, Invalid, NotPermitted
from batchd_api.options import FacadeOptions

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A slash inside a name must not divide the path, and NUL is in no name.
INNER_SLASH = "\0"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Auth-User",
    "Access-Control-Max-Age": "600",
}


class HostRefused(Invalid):
    """This server is not called {host}; `manager.allowed_hosts` can name it."""

    def __init__(self, host: str) -> None:
        BatchdError.__init__(self, host=f'"{host}"')


class OriginRefused(NotPermitted):
    """Pages from {origin} may not change anything here; `manager.web_client.allowed_origin` can name it."""

    def __init__(self, origin: str) -> None:
        BatchdError.__init__(self, origin=f'"{origin}"')


class Gate:
    def __init__(self, app: ASGIApp, options: FacadeOptions, answers: ErrorAnswers) -> None:
        self._app = app
        self._options = options
        self._answers = answers
        self._origins = frozenset(origin.rstrip("/") for origin in options.allowed_origins)
        self._hosts = own_host_names() | {name.lower() for name in options.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "path": plain_path(scope["raw_path"])}
        headers = Headers(scope=scope)
        answering = _Answering(send, self._cors_headers(headers))
        try:
            if answer := self._first_answer(scope, headers):
                await answer(scope, receive, answering)
            else:
                await self._app(scope, receive, answering)
        except ClientDisconnect:
            logger.debug("a client went away while it sent %s %r", scope["method"], scope["path"])
        except Exception:
            logger.exception("%s %r failed", scope["method"], scope["path"])
            if answering.started:
                raise
            await self._answers.internal(accept_of(scope))(scope, receive, answering)

    def _first_answer(self, scope: Scope, headers: Headers) -> Response | None:
        """An error, or what a preflight gets; None lets the request through."""
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
        except BatchdError as error:
            return self._answers.of(error, accept_of(scope))
        if scope["method"] == "OPTIONS" and scope["path"] != "/":
            return Response(status_code=200)
        return None

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) > 1:
            raise Invalid("The header Host was sent twice.")
        if given and "*" not in self._hosts and not self._is_own(given[0]):
            raise HostRefused(given[0])

    def _is_own(self, host_and_port: str) -> bool:
        host = _host_of(f"//{host_and_port}")
        # Another site can make a name point here, but not an address.
        return host is not None and (host in self._hosts or _is_address(host))

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        if scope["method"] in SAFE_METHODS:
            return
        for origin in headers.getlist("origin"):
            if not self._may_come_from(origin, headers):
                raise OriginRefused(origin)

    def _may_come_from(self, origin: str, headers: Headers) -> bool:
        if origin.rstrip("/") in self._origins:
            return True
        own = _authority(f"{_scheme(origin)}://{headers.get('host', '')}")
        return own is not None and _authority(origin) == own

    def _cors_headers(self, headers: Headers) -> dict[str, str]:
        origins = headers.getlist("origin")
        if len(origins) != 1 or not self._may_come_from(origins[0], headers):
            return {"Vary": "Origin"} if self._origins else {}
        answer = {"Access-Control-Allow-Origin": origins[0], "Vary": "Origin"}
        if not self._options.auth_disabled:
            answer["Access-Control-Allow-Credentials"] = "true"
        if "access-control-request-method" in headers:
            answer |= PREFLIGHT
        return answer


class _Answering:
    """Sends on, with the headers that belong to every answer."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def plain_path(raw_path: bytes) -> str:
    """Without a final slash, repeated slashes as one, names decoded. NUL stands for a slash inside a name."""
    names = []
    for part in raw_path.split(b"/"):
        if part:
            name = unquote_to_bytes(part).decode("utf-8", errors="replace")
            names.append(name.replace("\0", "\ufffd").replace("/", INNER_SLASH))
    return "/" + "/".join(names)


def own_host_names() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset({"localhost", "localhost.localdomain", name, name.partition(".")[0]})


def _scheme(origin: str) -> str:
    return origin.partition("://")[0].lower()


def _authority(url: str) -> tuple[str, int] | None:
    """Host and port, so that a default port that is left out equals one that is said."""
    host, port = _host_of(url), {"http": 80, "https": 443}.get(_scheme(url))
    if host is None or port is None:
        return None
    return host, urlsplit(url).port or port


def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
