"""Whether this dispatcher reaches Prefect, and for how long it has not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from batchd_flows.orchestrator_records import OrchestratorUnavailable

ASK_SECONDS = 5.0


class PrefectReach:
    """What the mirror last heard of Prefect. `answers`: one short question, for whoever seldom needs it."""

    def __init__(
        self, answers: Callable[[], Awaitable[bool]], *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._answers = answers
        self._seconds = seconds
        self._down: str | None = "Prefect has not answered yet"
        self._since = self._asked_at = seconds()

    @property
    def down(self) -> str | None:
        """Why nothing can start now, in a sentence; None while Prefect answers."""
        return self._down

    @property
    def away_seconds(self) -> float:
        """0 while it answers."""
        return 0.0 if self._down is None else self._seconds() - self._since

    def note(self, down: str | None) -> bool:
        """Whether that is news."""
        is_news = (down is None) != (self._down is None)
        if is_news:
            self._since = self._seconds()
        self._down = down
        return is_news

    async def ask(self) -> None:
        """Now and then. Raises OrchestratorUnavailable."""
        if self._seconds() < self._asked_at + ASK_SECONDS:
            return
        self._asked_at = self._seconds()
        if not await self._answers():
            raise OrchestratorUnavailable("a short question was not answered")
