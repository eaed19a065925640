"""The facade's own requests, counted: by the class of their status, and how long the answer took to begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchd_api.metric_records import Distribution

CLASSES = (1, 2, 3, 4, 5)


class HttpCounts:
    """Since the start of this process. Written in the event loop alone, read in any thread."""

    def __init__(self) -> None:
        self.requests = 0
        self.responses = dict.fromkeys(CLASSES, 0)
        self.latency_seconds = Distribution()

    def asked(self) -> None:
        self.requests += 1

    def answered(self, status: int, seconds: float) -> None:
        """Once a request, when its answer begins: a stream that is followed for hours is no slow answer."""
        status_class = status // 100
        if status_class in self.responses:
            self.responses[status_class] += 1
        self.latency_seconds = self.latency_seconds.plus(seconds)


class HttpMeter:
    """The outermost layer: what the gate refuses counts too."""

    def __init__(
        self, app: ASGIApp, counts: HttpCounts, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._counts = counts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._counts.asked()
        began, has_begun = self._clock(), False

        async def counting(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start" and not has_begun:
                has_begun = True
                self._counts.answered(message["status"], self._clock() - began)
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except Exception:
            if not has_begun:
                self._counts.answered(HTTPStatus.INTERNAL_SERVER_ERROR, self._clock() - began)
            raise
