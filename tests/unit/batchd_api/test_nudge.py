"""Many changes in a row wake the planner and the mirror a few times; none is lost."""

from __future__ import annotations

import asyncio

from batchd_api.nudge import Nudge

FOR_EVER = 3600.0


def test_the_first_change_wakes_at_once_and_those_after_it_wait_together() -> None:
    async def wakings() -> int:
        woken: list[int] = []
        nudge = Nudge(lambda: woken.append(1), FOR_EVER)
        nudge()
        async with asyncio.timeout(20):
            while not woken:
                await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.to_thread(nudge)
        return len(woken)

    assert asyncio.run(wakings()) == 1


def test_what_changed_after_a_waking_is_followed_by_another() -> None:
    async def seen_at_last() -> int:
        changes = seen = 0

        def look() -> None:
            nonlocal seen
            seen = changes

        nudge = Nudge(look, 0.01)
        for changes in range(1, 50):  # noqa: B007  the planner reads it
            await asyncio.to_thread(nudge)
        async with asyncio.timeout(20):
            while seen < changes:
                await asyncio.sleep(0.001)
        return seen

    assert asyncio.run(seen_at_last()) == 49
