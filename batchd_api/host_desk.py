"""The care for hosts in a dispatcher: the pool's looks, and the tests that people have asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from batchd_api.host_tests import HostTests
from batchd_api.stored import stored
from batchd_infra.host_pool import HostPool

log = logging.getLogger("batchd.hosts")

LOOK_SECONDS = 1.0


class HostDesk:
    """Runs in the event loop; everything it does blocks in threads."""

    def __init__(
        self,
        pool: HostPool,
        tests: HostTests,
        clock: Callable[[], datetime],
        *,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """`begin` is called in the event loop, before anything else is done."""
        self._pool = pool
        self._tests = tests
        self._clock = clock
        self._begin = begin
        self._wake = asyncio.Event()
        self._under_test: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """A host has become something else, or somebody wants one. Call from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; the machines then stay as they are."""
        self._begin()
        try:
            while True:
                await self._look()
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
        finally:
            for task in self._under_test:
                task.cancel()
            await asyncio.to_thread(self._pool.close)

    async def _look(self) -> None:
        """An exception ends a look, never the care."""
        try:
            await stored(self._pool.step)
            for asked in await stored(self._tests.take, self._clock()):
                task = asyncio.create_task(self._tests.carry_out(asked), name=f"test of {asked.host_name}")
                self._under_test.add(task)
                task.add_done_callback(self._under_test.discard)
        except Exception:
            log.exception("the care for hosts stumbled; it goes on")
            await asyncio.sleep(LOOK_SECONDS)
