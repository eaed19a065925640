"""Work of several jobs at once; that of one job is done one piece after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

Work = tuple[int, Callable[[], Awaitable[None]]]  # the job's id, and what is to be done
Pick = Callable[[Collection[int]], Work | None]


class Lanes:
    """Runs in the event loop. Each lane picks its next piece when it has done one."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def run(self, pick: Pick) -> bool:
        """Until `pick` has nothing more; whether there was anything.

        `pick` is told the jobs in work, of which it must not give any. After an error no lane begins another
        piece; it is raised when all have done theirs.
        """
        busy, done, failed = set[int](), list[int](), list[BaseException]()

        async def lane() -> None:
            while not failed and (work := pick(busy)) is not None:
                job_id, perform = work
                busy.add(job_id)
                try:
                    await perform()
                except BaseException as error:
                    failed.append(error)
                    raise
                finally:
                    busy.discard(job_id)
                    done.append(job_id)

        await asyncio.gather(*(lane() for _ in range(self._count)), return_exceptions=True)
        if failed:
            raise failed[0]
        return bool(done)
