"""A run's recorder that reports over HTTP with the attempt's token: from a worker of another work pool."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

from batchd_flows.attempt_order import AttemptOrder
from batchd_flows.errors import FlowsError
from batchd_flows.run import Chunk, Outcome

log = logging.getLogger("batchd.attempt")

TIMEOUT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class NoLongerWanted(FlowsError):
    """The manager refuses what is said of this attempt: it has ended there, or another took its place."""


class AttemptReports:
    """However long the manager is away, what is to be said waits for it."""

    def __init__(self, manager_url: str, attempt_id: int, token: str) -> None:
        self._url = f"{manager_url.rstrip('/')}/attempt/{attempt_id}"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def order(self) -> AttemptOrder:
        return AttemptOrder.from_json(await self._ask("GET", ""))

    async def started(self, at: datetime) -> None:
        await self._ask("POST", "/output", {})

    async def output(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            data = base64.b64encode(chunk.data).decode()
            await self._ask("POST", "/output", {"stream": chunk.stream, "offset": chunk.offset, "data": data})

    async def cut(self) -> None:
        await self._ask("POST", "/output", {"cut": True})

    async def ended(self, outcome: Outcome) -> None:
        said = {
            "exit_code": outcome.exit_code,
            "reason": outcome.reason,
            "output_cut": outcome.output_cut,
        }
        await self._ask("POST", "/exit", said)

    async def is_wanted(self) -> bool:
        return bool((await self._ask("POST", "/output", {}))["wanted"])

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        """Raises NoLongerWanted."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, headers=self._headers) as client:
                    answer = await client.request(method, self._url + path, json=body)
                if answer.status_code in (401, 404, 409):
                    raise NoLongerWanted(answer.text)
                if answer.status_code == httpx.codes.OK:
                    return answer.json()
                log.warning("the manager answers %d: %s", answer.status_code, answer.text)
            except httpx.HTTPError as error:
                log.warning("the manager does not answer: %s", error or type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
