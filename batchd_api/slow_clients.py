"""How long a client may take to say what it wants: who opens a connection and says nothing loses it."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0  # from the connection, or from its first byte after an answer, to the end of a head


class TimelyProtocol(H11Protocol):
    """uvicorn's, which waits for the rest of a head for ever. Bodies are timed where they are read."""

    head_seconds = HEAD_SECONDS
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        else:
            self._forget_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        """The time runs from the first call: a byte now and then does not lengthen it."""
        if self._head_due is None:
            self._head_due = self.loop.call_later(self.head_seconds, self.transport.close)

    def _forget_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
