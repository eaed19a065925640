"""Controllers shown in Prefect as blocks, as their files say, once at each start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_blocks import BlockChanges, write_blocks
from batchd_flows.orchestrator_records import OrchestratorRefused, OrchestratorUnavailable
from batchd_infra.controller import Controller

log = logging.getLogger("batchd.controllers")

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0


@asynccontextmanager
async def controllers_shown(
    orchestrator: Orchestrator, controllers: Iterable[Controller], written_by: str
) -> AsyncIterator[None]:
    """Shown meanwhile; the start does not wait for it."""
    showing = asyncio.create_task(show_controllers(orchestrator, controllers, written_by), name="blocks")
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def show_controllers(
    orchestrator: Orchestrator,
    controllers: Iterable[Controller],
    written_by: str,
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Try until Prefect answers. Nothing waits for it, and nothing else breaks when it does not work."""
    seconds = FIRST_PAUSE_SECONDS
    while True:
        try:
            _say(await write_blocks(orchestrator, controllers, written_by))
        except OrchestratorUnavailable:
            await pause(seconds)
            seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)
        except OrchestratorRefused as refusal:
            log.error("the blocks of the controllers are not written: %s", refusal)  # noqa: TRY400
            return
        except Exception:
            log.exception("the blocks of the controllers are not written")
            return
        else:
            return


def _say(changes: BlockChanges) -> None:
    for name in changes.created:
        log.info("controller %s is a block in Prefect", name)
    for name in changes.rewritten:
        log.warning("the block of controller %s was not as its file says; it is written anew", name)
    for name in changes.deleted:
        log.info("controller %s has no file any more; its block is deleted", name)
