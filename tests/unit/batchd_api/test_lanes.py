"""Work of several jobs at once, of one job in its order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

import pytest

from batchd_api.lanes import Lanes, Work

pytestmark = pytest.mark.anyio


class Road:
    """Pieces of work that say when they begin and end, and go on when they are told."""

    def __init__(self, *jobs: int, broken: Collection[int] = ()) -> None:
        self.ahead = deque(jobs)
        self.broken = broken
        self.said: list[str] = []
        self.go = asyncio.Event()

    def pick(self, busy: Collection[int]) -> Work | None:
        job = next((job for job in self.ahead if job not in busy), None)
        if job is None:
            return None
        self.ahead.remove(job)
        return job, lambda: self.perform(job)

    async def perform(self, job: int) -> None:
        self.said.append(f"begin {job}")
        if job in self.broken:
            raise RuntimeError(f"job {job}")
        await self.go.wait()
        self.said.append(f"end {job}")


async def as_far_as_it_goes() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_jobs_are_in_work_as_there_are_lanes() -> None:
    road = Road(1, 2, 3, 4)
    running = asyncio.create_task(Lanes(3).run(road.pick))
    await as_far_as_it_goes()
    assert road.said == ["begin 1", "begin 2", "begin 3"]
    road.go.set()
    assert await running
    assert sorted(road.said[3:]) == ["begin 4", "end 1", "end 2", "end 3", "end 4"]


async def test_the_work_of_one_job_is_done_one_piece_after_the_other() -> None:
    road = Road(1, 1, 2)
    running = asyncio.create_task(Lanes(3).run(road.pick))
    await as_far_as_it_goes()
    assert road.said == ["begin 1", "begin 2"]
    road.go.set()
    await running
    assert [word for word in road.said if word.endswith("1")] == ["begin 1", "end 1", "begin 1", "end 1"]


async def test_after_an_error_what_is_in_work_is_done_and_nothing_begins() -> None:
    road = Road(1, 2, 3, 4, broken={2})
    running = asyncio.create_task(Lanes(2).run(road.pick))
    await as_far_as_it_goes()
    assert not running.done()
    road.go.set()
    with pytest.raises(RuntimeError, match="job 2"):
        await running
    assert road.said == ["begin 1", "begin 2", "end 1"]


async def test_who_is_stopped_leaves_nothing_in_work() -> None:
    road = Road(1, 2)
    running = asyncio.create_task(Lanes(2).run(road.pick))
    await as_far_as_it_goes()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    road.go.set()
    await as_far_as_it_goes()
    assert road.said == ["begin 1", "begin 2"]


async def test_without_work_it_says_so() -> None:
    assert not await Lanes(3).run(Road().pick)
