"""One kept-alive HTTP connection to a manager; every foreign error is translated here."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

from batchd_cli.errors import ConfigError, ProtocolError, ServerError, Unreachable, refusal

TIMEOUT_SECONDS = 60
IDLE_SECONDS = 2
"""Longer than this and the connection is made anew: servers close idle ones (uvicorn after 5 s), and a
request that went into a closing connection cannot be repeated without risking a second job."""
LONGEST_SENTENCE = 4000
KEPT_ANSWERS = 32
"""So many answers with an ETag are kept, to be asked for again only if they have changed."""


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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status that was asked for, its headers by names in lower case, its bytes."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Connection:
    """Requests to one manager. Not for several threads at once.

    `headers` go with each request; `trace` is told each request and answer (`--debug`).
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        tls: Tls,
        trace: Callable[[str], None] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.url = url
        self.headers = dict(headers)
        self._tls = tls
        self._trace = trace
        self._timeout_seconds = timeout_seconds
        parts = _split(url)
        self._prefix = parts.path.rstrip("/")
        self._http = _connection(parts, tls, timeout_seconds)
        self._last_used = monotonic()
        self._kept: dict[str, tuple[str, Any]] = {}

    def sibling(self) -> "Connection":
        """Another one to the same manager, for an answer that takes its time."""
        return Connection(
            self.url,
            headers=self.headers,
            tls=self._tls,
            trace=self._trace,
            timeout_seconds=self._timeout_seconds,
        )

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON. Errors: Unreachable, ServerError, ProtocolError."""
        etag, kept = self._kept.get(path, ("", None)) if method == "GET" else ("", None)
        headers = {"If-None-Match": etag} if etag else {}
        answer = self.exchange(method, path, body, headers=headers, accepted=(200, 304) if etag else (200,))
        if answer.status == 304:
            return kept
        try:
            found = json.loads(answer.data)
        except ValueError as error:  # UnicodeDecodeError is one
            said = answer.data[:80].decode("utf-8", "replace")
            raise ProtocolError(f"{method} {self.url.rstrip('/')}{path} gave {said!r}") from error
        if method == "GET" and (etag := answer.headers.get("etag", "")):
            self._keep(path, etag, found)
        return found

    def exchange(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Answer:
        """The answer as it came. Errors: Unreachable; ServerError for a status that is not accepted."""
        data = None if body is None else json.dumps(body).encode()
        sent = {**self.headers, **(headers or {})}
        if data is not None:
            sent["Content-Type"] = "application/json"
        with self._translated(), closing(self._respond(method, path, data, sent)) as response:
            answer = Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                data=response.read(),
            )
        self._last_used = monotonic()
        self._tell(method, path, answer.status, f"{len(answer.data)} bytes")
        if answer.status not in accepted:
            raise self._refusal(path, answer.status, answer.data)
        return answer

    def lines(self, path: str, headers: Mapping[str, str]) -> Iterator[str]:
        """The lines of an answer that comes bit by bit, until it ends.

        Errors: as for `exchange`; Unreachable also when it breaks off, or nothing comes for too long.
        """
        headers = {**self.headers, **headers}
        # Closed here, not when it is collected: a Ctrl-C that arrives in a finalizer is swallowed.
        with self._translated(), closing(self._respond("GET", path, None, headers)) as response:
            self._tell("GET", path, response.status, "a stream")
            if response.status != 200:
                raise self._refusal(path, response.status, response.read())
            while line := response.readline():
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        self._http.close()

    def close(self) -> None:
        self._http.close()

    def _keep(self, path: str, etag: str, found: object) -> None:
        self._kept.pop(path, None)
        self._kept[path] = etag, found
        if len(self._kept) > KEPT_ANSWERS:
            del self._kept[next(iter(self._kept))]

    def _respond(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        if monotonic() - self._last_used > IDLE_SECONDS:
            self._http.close()
        self._http.request(method, self._prefix + path, body=data, headers=headers)
        return self._http.getresponse()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """An exchange that fails or is interrupted leaves no connection: the rest of its answer must not
        answer the next request."""
        try:
            yield
        except (OSError, HTTPException) as error:
            self._http.close()
            raise Unreachable(self.url, _fault(error)) from error
        except BaseException:  # Ctrl-C among them
            self._http.close()
            raise

    def _tell(self, method: str, path: str, status: int, what: str) -> None:
        if self._trace:
            self._trace(f"{method} {self.url.rstrip('/')}{path} → {status}, {what}")

    def _refusal(self, path: str, status: int, data: bytes) -> ServerError:
        return refusal(status, _sentence(status, data.decode("utf-8", "replace")), path)


def _fault(error: OSError | HTTPException) -> str:
    """In words, without the number that a system has for it."""
    words = error.strerror if isinstance(error, OSError) else None
    if words:
        return words[0].lower() + words[1:]
    return str(error) or type(error).__name__


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


def _connection(parts: SplitResult, tls: Tls, timeout_seconds: float) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port, timeout=timeout_seconds, context=tls.context())
    return HTTPConnection(host, parts.port, timeout=timeout_seconds)


def _sentence(status: int, answer: str) -> str:
    """What the manager says; a page (of a proxy, say) says nothing to a person on a terminal."""
    text = answer.strip()
    if not text or text.startswith("<"):
        return f"the manager answered with HTTP status {status}"
    return text[:LONGEST_SENTENCE]
