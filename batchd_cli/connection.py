"""One kept-alive HTTP connection to a manager; every foreign error is translated here."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

from batchd_cli.errors import ConfigError, ProtocolError, Unreachable, refusal

TIMEOUT_SECONDS = 60
IDLE_SECONDS = 2
"""Longer than this and the connection is made anew: servers close idle ones (uvicorn after 5 s), and a
request that went into a closing connection cannot be repeated without risking a second job."""
LONGEST_SENTENCE = 4000


@dataclass(frozen=True, kw_only=True)
class Tls:
    """How an https manager is trusted, and how it may know us."""

    certificate: str | None = None
    key: str | None = None
    ca_certificate: str | None = None
    check_server: bool = True

    def context(self) -> ssl.SSLContext:
        """Errors: ConfigError when a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_certificate)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(filter(None, (self.ca_certificate, self.certificate, self.key)))
            raise ConfigError(f"cannot use {files}: {error}") from error
        if not self.check_server:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Connection:
    """Requests to one manager. Not for several threads at once.

    `headers` go with each request; `trace` is told each request and answer (`--debug`).
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str], tls: Tls, trace: Callable[[str], None] | None = None
    ) -> None:
        self.url = url
        self.headers = dict(headers)
        self._trace = trace
        parts = _split(url)
        self._prefix = parts.path.rstrip("/")
        self._http = _connection(parts, tls)
        self._last_used = monotonic()

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON. Errors: Unreachable, ServerError, ProtocolError."""
        status, text = self._exchange(method, self._prefix + path, body)
        if self._trace:
            self._trace(f"{method} {self.url.rstrip('/')}{path} → {status}, {len(text)} bytes")
        answer = text.decode("utf-8", "replace")
        if status != 200:
            raise refusal(status, _sentence(status, answer))
        try:
            return json.loads(answer)
        except ValueError as error:
            raise ProtocolError(f"{method} {self.url.rstrip('/')}{path} gave {answer[:80]!r}") from error

    def close(self) -> None:
        self._http.close()

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = self.headers if data is None else {**self.headers, "Content-Type": "application/json"}
        if monotonic() - self._last_used > IDLE_SECONDS:
            self._http.close()
        try:
            self._http.request(method, path, body=data, headers=headers)
            response: HTTPResponse = self._http.getresponse()
            answer = response.status, response.read()
        except (OSError, HTTPException) as error:
            self._http.close()
            raise Unreachable(self.url, str(error) or type(error).__name__) from error
        except (
            BaseException
        ):  # Ctrl-C in the middle of an answer: the rest of it must not answer the next request
            self._http.close()
            raise
        self._last_used = monotonic()
        return answer


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"the manager's address {url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"the manager's address {url!r} must look like http://host:9681")
    if parts.username is not None:
        raise ConfigError(
            "the manager's address must not contain a name or password: use -U and BATCH_PASSWORD"
        )
    return parts


def _connection(parts: SplitResult, tls: Tls) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port, timeout=TIMEOUT_SECONDS, context=tls.context())
    return HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)


def _sentence(status: int, answer: str) -> str:
    """What the manager says; a page (of a proxy, say) says nothing to a person on a terminal."""
    text = answer.strip()
    if not text or text.startswith("<"):
        return f"the manager answered with HTTP status {status}"
    return text[:LONGEST_SENTENCE]
