"""What requests have changed wakes the planner and the mirror: at once, but for a burst of them once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

PAUSE_SECONDS = 0.05  # between two wakings; else each of many enqueues would wait for a look of the planner


class Nudge:
    """Call it in any thread. After the last call there is always one more waking."""

    def __init__(self, wake: Callable[[], None], pause_seconds: float = PAUSE_SECONDS) -> None:
        """`wake` is called in the running loop."""
        self._wake = wake
        self._pause_seconds = pause_seconds
        self._loop = asyncio.get_running_loop()
        self._not_before = self._loop.time()
        self._later: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are stopping
            self._loop.call_soon_threadsafe(self._in_the_loop)

    def _in_the_loop(self) -> None:
        if self._later is None:
            self._later = self._loop.call_at(self._not_before, self._pass_on)

    def _pass_on(self) -> None:
        self._later = None
        self._not_before = self._loop.time() + self._pause_seconds
        self._wake()
