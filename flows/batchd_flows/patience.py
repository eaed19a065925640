"""Asking a machine that may be out of reach: again and again, for as long as its job may still be alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import ParamSpec, TypeVar

from batchd_flows.errors import FlowsError
from batchd_flows.supervisor import Machine, MachineRefused, MachineUnreachable

LOST_AFTER_SECONDS = 24 * 3600.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


class MachineLost(FlowsError):
    """It has been out of reach for longer than anybody wants to wait."""

    def __init__(self, host_name: str, since: datetime, why: str) -> None:
        self.why = why
        moment = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        super().__init__(f"outcome unknown: host {host_name} has not been reachable since {moment}")


async def ask(machine: Machine, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A blocking call of this machine's, in threads of its own: a silent one holds up no other."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(machine.threads, partial(function, *args, **kwargs))


class Patience:
    """Of one caller. `lost_after_seconds` counts from the first call in a row that reached nobody."""

    def __init__(
        self,
        machine: Machine,
        *,
        lost_after_seconds: float = LOST_AFTER_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._machine = machine
        self._lost_after_seconds = lost_after_seconds
        self._clock = clock
        self._since: tuple[float, datetime] | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS

    async def reach(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What it returns once the machine is reached. Raises MachineLost, and all but MachineUnreachable."""
        return await self._reach(partial(function, *args, **kwargs), refusal_ends=False)

    async def reach_or_be_refused(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For what has surely not begun there: MachineRefused is then the last word, and raised too."""
        return await self._reach(partial(function, *args, **kwargs), refusal_ends=True)

    async def _reach(self, call: Callable[[], T], *, refusal_ends: bool) -> T:
        while True:
            try:
                result = await ask(self._machine, call)
            except MachineUnreachable as error:
                if refusal_ends and isinstance(error, MachineRefused):
                    raise
                await self._wait(error)
            else:
                self._since = None
                self._pause_seconds = FIRST_PAUSE_SECONDS
                return result

    async def _wait(self, error: MachineUnreachable) -> None:
        """Before the next try. Raises MachineLost instead, when it has taken too long."""
        now = asyncio.get_running_loop().time()
        began, since = self._since = self._since or (now, self._clock())
        if now - began >= self._lost_after_seconds:
            raise MachineLost(self._machine.host_name, since, str(error)) from error
        await asyncio.sleep(min(self._pause_seconds, max(0.01, began + self._lost_after_seconds - now)))
        self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
