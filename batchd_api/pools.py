"""Queues as work pools, job types in them as deployments; what a person sets there comes back here."""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import UUID

from batchd_api.books import Books, QueueEntry
from batchd_api.hands import Hands
from batchd_api.prefect_words import PrefectWords
from batchd_flows.names import pool_name
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import (
    OrchestratorRefused,
    PoolGone,
    PoolOfAnotherType,
    PoolSpec,
    PoolView,
)

log = logging.getLogger("batchd.prefect")

LOOK_SECONDS = 10.0
HEARTBEAT_SECONDS = 30


class Pools:
    """Called by the mirror, between its writes. What was written is memorised, and noted in the database."""

    def __init__(
        self, books: Books, hands: Hands, orchestrator: Orchestrator, words: PrefectWords, *, worker_name: str
    ) -> None:
        self._books = books
        self._hands = hands
        self._orchestrator = orchestrator
        self._words = words
        self._worker_name = worker_name
        self._specs: dict[str, PoolSpec] = {}
        self._deployments: dict[tuple[str, str], UUID] = {}
        self._beaten_at: dict[str, float] = {}
        self._look_at = 0.0
        self._check_work_queues = True
        self._former: set[str] = set()  # queues with a pool when we began

    async def begin(self) -> None:
        """Nothing is known but what is noted: another process may have written since."""
        self._specs, self._deployments, self._beaten_at = {}, {}, {}
        self._former = set(await asyncio.to_thread(self._hands.written_pools))
        self.look_again()

    def look_again(self) -> None:
        """Something about a pool or its work queue was changed."""
        self._look_at = 0.0
        self._check_work_queues = True

    async def step(self) -> bool:
        """Have every queue's pool. True: a person's setting has changed a queue."""
        changed = False
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            changed = await self._look()
        queues = await asyncio.to_thread(self._books.queues)
        for queue in queues:
            await self._show(queue)
        for name in (self._former | set(self._specs)) - {queue.name for queue in queues}:
            await self._orchestrator.delete_pool(pool_name(name))
            await asyncio.to_thread(self._hands.forget_pool, name)
            self.forget(name)
            self._former.discard(name)
        return changed

    async def deployment(self, type_name: str, queue_name: str) -> UUID:
        """Made when first needed. Raises PoolGone."""
        key = (type_name, queue_name)
        if key not in self._deployments:
            spec = self._words.deployment(type_name, queue_name)
            self._deployments[key] = await self._orchestrator.ensure_deployment(spec)
        return self._deployments[key]

    def forget(self, queue_name: str) -> None:
        """The pool or a deployment in it was gone: look again at everything that hangs on it."""
        self._specs.pop(queue_name, None)
        self._beaten_at.pop(queue_name, None)
        self._deployments = {key: value for key, value in self._deployments.items() if key[1] != queue_name}

    async def _show(self, queue: QueueEntry) -> None:
        spec = self._words.pool(queue)
        if self._specs.get(queue.name) != spec:
            try:
                await self._orchestrator.ensure_pool(spec)
            except (OrchestratorRefused, PoolOfAnotherType) as error:
                # Said once; the queue's jobs run all the same, unseen in Prefect.
                log.error("queue %s: %s", queue.name, error)  # noqa: TRY400
            limit = spec.concurrency_limit
            await asyncio.to_thread(
                self._hands.note_pool, queue.name, paused=spec.paused, concurrency_limit=limit
            )
            self._specs[queue.name] = spec
        if time.monotonic() - self._beaten_at.get(queue.name, -HEARTBEAT_SECONDS) >= HEARTBEAT_SECONDS:
            await self._beat(queue.name)

    async def _beat(self, queue_name: str) -> None:
        self._beaten_at[queue_name] = time.monotonic()
        try:
            await self._orchestrator.heartbeat(pool_name(queue_name), self._worker_name, HEARTBEAT_SECONDS)
        except PoolGone:
            self.forget(queue_name)

    async def _look(self) -> bool:
        views = {view.name: view for view in await self._orchestrator.read_pools()}
        written = await asyncio.to_thread(self._hands.written_pools)
        changed = False
        for queue in await asyncio.to_thread(self._books.queues):
            if queue.name not in written:
                continue
            view = views.get(pool_name(queue.name))
            if view is None:
                log.warning("the work pool of queue %s was deleted in Prefect; it is made again", queue.name)
                await asyncio.to_thread(self._hands.forget_pool, queue.name)
                self.forget(queue.name)
            elif (view.paused, view.concurrency_limit) != written[queue.name]:
                await self._take_over(queue, view, written[queue.name])
                changed = True
            if view is not None and self._check_work_queues:
                await self._resume_work_queue(view.name)
        self._check_work_queues = False
        return changed

    async def _take_over(self, queue: QueueEntry, view: PoolView, written: tuple[bool, int | None]) -> None:
        was_paused, was_limited = written
        enabled = queue.enabled if view.paused == was_paused else not view.paused
        max_jobs = queue.max_jobs if view.concurrency_limit == was_limited else view.concurrency_limit
        await asyncio.to_thread(self._hands.set_queue, queue.name, enabled=enabled, max_jobs=max_jobs)
        await asyncio.to_thread(
            self._hands.note_pool, queue.name, paused=view.paused, concurrency_limit=view.concurrency_limit
        )
        self._specs.pop(queue.name, None)

    async def _resume_work_queue(self, pool: str) -> None:
        """Inside a pool there is one work queue; the pool's own switch is the one that counts."""
        if await self._orchestrator.resume_work_queue(pool):
            log.warning("the default work queue of pool %s was paused in Prefect; it is resumed", pool)
