"""Machines in memory, with the same contract as real ones: for dry tries of a configuration, and for tests.

Its machines take their time to start and stop, and nothing else is behind them: a host with `host_name`
`127.0.0.1` and this controller shows how a queue behaves with machines that come and go.
"""

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass

from batchd_infra.controller import ControllerError, MachineNotFound, MachineState
from batchd_infra.hosts import Host
from batchd_infra.power import Pace, PoweredController


@dataclass(frozen=True, kw_only=True)
class FakeSettings:
    """`driver: fake`. Every `controller_id` is a machine; all are off when the daemon starts."""

    startup_seconds: float = 1.0
    shutdown_seconds: float = 1.0


@dataclass(frozen=True)
class _Way:
    """From a state that lasts until a moment of `time.monotonic` to the one after it."""

    now: MachineState
    until: float
    then: MachineState

    @property
    def state(self) -> MachineState:
        return self.then if time.monotonic() >= self.until else self.now


class FakeController(PoweredController):
    """`asked` counts what each machine was asked for; `fail` and `set_state` make trouble on purpose."""

    def __init__(
        self,
        name: str = "fake",
        settings: FakeSettings | None = None,
        *,
        enable_start_stop: bool = True,
        pace: Pace | None = None,
        machines: frozenset[str] | None = None,
    ) -> None:
        super().__init__(name, enable_start_stop=enable_start_stop, pace=pace)
        self.settings = settings or FakeSettings()
        self.asked: Counter[tuple[str, str]] = Counter()
        self._known = machines
        self._ways: dict[str, _Way] = {}
        self._troubles: dict[str, deque[ControllerError]] = {}
        self._guard = threading.Lock()

    def set_state(self, machine: str, state: MachineState) -> None:
        with self._guard:
            self._ways[machine] = _Way(state, 0.0, state)

    def fail(self, action: str, *troubles: ControllerError) -> None:
        """The next calls of `look`, `boot` or `shut_down` raise these, one each."""
        with self._guard:
            self._troubles.setdefault(action, deque()).extend(troubles)

    def look(self, host: Host) -> MachineState:
        self._stumble("look")
        with self._guard:
            return self._state(host.controller_id)

    def boot(self, host: Host, state: MachineState) -> None:
        machine = host.controller_id
        if state is MachineState.ABSENT:
            raise MachineNotFound(host.name, self.name, machine)
        self._stumble("boot")
        with self._guard:
            self.asked[machine, "boot"] += 1
            until = time.monotonic() + self.settings.startup_seconds
            self._ways[machine] = _Way(MachineState.STARTING, until, MachineState.RUNNING)

    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        self._stumble("shut_down")
        with self._guard:
            self.asked[host.controller_id, "force" if insist else "shut_down"] += 1
            until = time.monotonic() + (0 if insist else self.settings.shutdown_seconds)
            self._ways[host.controller_id] = _Way(MachineState.STOPPING, until, MachineState.STOPPED)

    def _state(self, machine: str) -> MachineState:
        if machine in self._ways:
            return self._ways[machine].state
        return MachineState.STOPPED if self._known is None or machine in self._known else MachineState.ABSENT

    def _stumble(self, action: str) -> None:
        with self._guard:
            troubles = self._troubles.get(action)
            trouble = troubles.popleft() if troubles else None
        if trouble is not None:
            raise trouble
