"""Calling blocking functions of the database from the event loop, however long that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from batchd_api.errors import DatabaseFull, DatabaseUnavailable

log = logging.getLogger("batchd.dispatcher")

LONGEST_PAUSE_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


async def stored(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread, again and again while the database is away or full."""
    pause = 0.1
    while True:
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        except (DatabaseUnavailable, DatabaseFull) as error:
            log.debug("%s Trying again.", error)  # the database says it, once for all who wait
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
