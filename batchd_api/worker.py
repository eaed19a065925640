"""`prefect worker start --type batchd --pool …`: a dispatcher that serves the queue of that pool.

It reads `batchd.yaml` where `batchd` would (BATCHD_CONFIG names another), so it is one more dispatcher of the
same installation, not a poller: Prefect's polling loops are not used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from batchd_api.app import opened, run
from batchd_api.books import Books
from batchd_api.errors import StartupError
from batchd_api.parts import Parts
from batchd_flows.names import pool_name
from batchd_flows.worker import BatchdWorkerBase


class BatchdWorker(BatchdWorkerBase):
    """The worker type `batchd`."""

    async def start(
        self,
        run_once: bool = False,
        with_healthcheck: bool = False,
        printer: Callable[..., None] = print,
    ) -> None:
        """Until a signal. Raises StartupError with a sentence, before anything has started."""
        if run_once:
            raise StartupError("A batchd worker runs until it is stopped; --run-once is not for it.")
        config = os.environ.get("BATCHD_CONFIG")
        with opened(Path(config) if config else None, "dispatcher") as parts:
            queue_name = queue_of_pool(Books(parts.database), self._work_pool_name)
            printer(f"A batchd dispatcher for queue {queue_name}.")
            await run(serving_only(parts, queue_name))


def queue_of_pool(books: Books, pool: str) -> str:
    """The queue that this pool shows. Raises StartupError."""
    names = [queue.name for queue in books.queues()]
    found = next((name for name in names if pool_name(name) == pool), None)
    if found is None:
        pools = ", ".join(pool_name(name) for name in names)
        raise StartupError(f"No queue of this installation has the work pool {pool}; there are: {pools}.")
    return found


def serving_only(parts: Parts, queue_name: str) -> Parts:
    dispatcher = replace(parts.settings.dispatcher, queues=(queue_name,))
    return replace(parts, settings=replace(parts.settings, dispatcher=dispatcher))
