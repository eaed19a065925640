"""Prefect's client as we want it: its server said outright, patient with SQLite, errors translated."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound, PrefectException
from pydantic import ValidationError

from batchd_flows.orchestrator_records import Gone, OrchestratorRefused, OrchestratorUnavailable

PATIENCE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5
# Below the server's five seconds of keep-alive: a connection that it has closed costs a retry of two seconds.
KEEPALIVE_SECONDS = 4.0
TIMEOUT = httpx.Timeout(30.0, connect=5.0)  # SQLite's own wait for a lock is 10 s
RETRYABLE = frozenset({408, 425, 429})
DETAIL_CHARACTERS = 300


def prefect_client(api_url: str, auth_string: str | None, api_key: str | None = None) -> PrefectClient:
    """A client of this server, whatever profile, proxy or settings the user has."""
    limits = httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=KEEPALIVE_SECONDS)
    direct = httpx.AsyncHTTPTransport(limits=limits, trust_env=False, retries=1)
    return PrefectClient(
        api_url,
        auth_string=auth_string,
        api_key=api_key,
        httpx_settings={"transport": PatientTransport(direct), "timeout": TIMEOUT},
    )


class PatientTransport(httpx.AsyncBaseTransport):
    """Sends a request again, at once, where SQLite was locked.

    The server then answers 503 within milliseconds, and Prefect's client would wait two seconds. It is the
    same request, with the same transition id: a state that was set after all is not set twice.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._inner = inner
        self._patience_seconds = patience_seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + self._patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            response = await self._inner.handle_async_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return response
            await response.aclose()
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads callers, hides nothing
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def aclose(self) -> None:
        await self._inner.aclose()


@contextmanager
def translated(gone: Gone | None = None) -> Iterator[None]:
    """Errors of Prefect's client as ours; `gone` is what a 404 means here."""
    try:
        yield
    except ObjectNotFound as error:
        raise gone or OrchestratorRefused(404, "not found") from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status == httpx.codes.NOT_FOUND and gone is not None:
            raise gone from error
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in RETRYABLE:
            raise OrchestratorUnavailable(f"status {status}") from error
        raise OrchestratorRefused(status, _detail(error.response)) from error
    except httpx.HTTPError as error:
        raise OrchestratorUnavailable(str(error) or type(error).__name__) from error
    except (ValidationError, PrefectException) as error:
        raise OrchestratorRefused(None, str(error)[:DETAIL_CHARACTERS]) from error


def _detail(response: httpx.Response) -> str:
    """One line of what the server says."""
    return " ".join(response.text.split())[:DETAIL_CHARACTERS] or response.reason_phrase
