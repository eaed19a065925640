"""A signal to ourselves between two steps: one function of the program is wrapped, in a test's child process.

The program knows nothing of it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class FailPoint:
    """`target`: `package.module:Class.method`. At its `nth` call, just before it or when it has returned."""

    target: str
    moment: Literal["before", "after"] = "before"
    nth: int = 1
    number: signal.Signals = signal.SIGKILL

    def arm(self) -> None:
        """From now on, in this process."""
        module, _, path = self.target.partition(":")
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        calls = itertools.count(1)

        def strike(moment: str, call: int) -> None:
            if moment == self.moment and call == self.nth:
                os.kill(os.getpid(), self.number)

        @functools.wraps(step)
        async def later(*args: Any, **kwargs: Any) -> Any:
            call = next(calls)
            strike("before", call)
            answer = await step(*args, **kwargs)
            strike("after", call)
            return answer

        @functools.wraps(step)
        def now(*args: Any, **kwargs: Any) -> Any:
            call = next(calls)
            strike("before", call)
            answer = step(*args, **kwargs)
            strike("after", call)
            return answer

        return later if inspect.iscoroutinefunction(step) else now
