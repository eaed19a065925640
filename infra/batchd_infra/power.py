"""Start and stop for every driver that has something to start: look, act where needed, look again.

Each round begins with a look, so that an action whose answer was lost is not blindly done twice, and two
machines where there should be one are noticed. A retrying HTTP client could do neither; so the drivers' own
clients do not repeat what changes something.
"""

import random
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from batchd_infra.controller import (
    LIMIT_SECONDS,
    Controller,
    ControllerClosed,
    ControllerError,
    ControllerUnreachable,
    MachineBusy,
    MachineState,
    StartFailed,
    StartStopDisabled,
    StopFailed,
    TooManyRequests,
)
from batchd_infra.hosts import Host

ON_THE_WAY = frozenset({MachineState.STARTING, MachineState.STOPPING})
OFF = frozenset({MachineState.STOPPED, MachineState.ABSENT})
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to look and to ask. `patience_seconds`: how long in one go an API may give no usable answer.

    `grace_seconds`: after that a machine that does not stop by itself is forced.
    """

    first_look_seconds: float = 0.2
    look_seconds: float = 3.0
    ask_again_seconds: float = 15.0
    most_starts: int = 3
    grace_seconds: float = 120.0
    patience_seconds: float = 90.0


class PoweredController(Controller):
    """`start` and `stop` by the three steps that a driver knows: `look`, `boot`, `shut_down`."""

    def __init__(self, name: str, *, enable_start_stop: bool = True, pace: Pace | None = None) -> None:
        super().__init__(name, enable_start_stop=enable_start_stop)
        self._pace = pace or Pace()
        self._closed = threading.Event()
        self._machines: dict[str, threading.Lock] = {}

    @abstractmethod
    def look(self, host: Host) -> MachineState:
        """The state now; one request or two."""

    @abstractmethod
    def boot(self, host: Host, state: MachineState) -> None:
        """Ask a machine in `state` (never RUNNING or on its way) to run; need not wait. May be repeated.

        ABSENT: create it, or raise MachineNotFound. Raises MachineBusy where another look is due first.
        """

    @abstractmethod
    def shut_down(self, host: Host, state: MachineState, *, insist: bool) -> None:
        """Ask a machine in `state` (never off) to stop; need not wait. May be repeated.

        `insist`: the grace is over, force it. Raises MachineBusy where another look is due first.
        """

    def status(self, host: Host) -> MachineState:
        return self.look(host)

    def start(self, host: Host, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._require_power(host)
        effort = Effort(host, self._pace, self._closed, limit_seconds)
        with self._alone(host, effort, "start"):
            while not self._started(host, effort):
                if not effort.pause():
                    raise StartFailed(host.name, effort.state, effort.reason("running")) from effort.trouble

    def stop(self, host: Host, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._require_power(host)
        effort = Effort(host, self._pace, self._closed, limit_seconds)
        with self._alone(host, effort, "stop"):
            while not self._stopped(host, effort):
                if not effort.pause():
                    raise StopFailed(host.name, effort.state, effort.reason("off")) from effort.trouble

    def close(self) -> None:
        self._closed.set()

    def _started(self, host: Host, effort: "Effort") -> bool:
        with effort.forgiving():
            state = effort.state = self.look(host)
            if state is MachineState.RUNNING:
                return True
            if state not in ON_THE_WAY and effort.may_ask():
                if effort.asked >= self._pace.most_starts:
                    raise StartFailed(host.name, state, f"it was asked to {effort.asked} times")
                with effort.asking():
                    self.boot(host, state)
        return False

    def _stopped(self, host: Host, effort: "Effort") -> bool:
        with effort.forgiving():
            state = effort.state = self.look(host)
            if state in OFF:
                return True
            insist = effort.elapsed_seconds >= self._pace.grace_seconds
            if (insist or state not in ON_THE_WAY) and effort.may_ask(again=insist != effort.insisted):
                with effort.asking(insisted=insist):
                    self.shut_down(host, state, insist=insist)
        return False

    def _require_power(self, host: Host) -> None:
        if not self.can_start_stop:
            raise StartStopDisabled(host.name, self.name, "its file says enable_start_stop: false")

    @contextmanager
    def _alone(self, host: Host, effort: "Effort", verb: str) -> Iterator[None]:
        """Starts and stops of one machine follow each other: a start that comes during a stop waits."""
        lock = self._machines.setdefault(host.controller_id, threading.Lock())
        while not lock.acquire(blocking=False):
            if not effort.pause():
                failed = StartFailed if verb == "start" else StopFailed
                raise failed(host.name, effort.state, "another start or stop of it has not ended")
        try:
            yield
        finally:
            lock.release()


class Effort:
    """One start or stop: until when, what was seen last, when to ask again and how long to pause."""

    def __init__(self, host: Host, pace: Pace, closed: threading.Event, limit_seconds: float) -> None:
        self.state = MachineState.UNKNOWN
        self.trouble: ControllerError | None = None
        self.asked = 0
        self.insisted = False
        self._host = host
        self._pace = pace
        self._closed = closed
        self._limit_seconds = limit_seconds
        self._began = time.monotonic()
        self._asked_at = 0.0
        self._failures = 0
        self._answered_at = self._began
        self._pause_seconds = pace.first_look_seconds

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._began

    def may_ask(self, *, again: bool = False) -> bool:
        """Whether the machine may be asked (again); an action takes its time to show."""
        waited = time.monotonic() - self._asked_at
        return self.asked == 0 or again or waited >= self._pace.ask_again_seconds

    @contextmanager
    def asking(self, *, insisted: bool = False) -> Iterator[None]:
        """What was surely not done may be asked at the next look; a lost answer may have been a yes."""
        before = self.asked, self.insisted, self._asked_at
        self.asked, self.insisted, self._asked_at = self.asked + 1, insisted, time.monotonic()
        try:
            yield
        except (MachineBusy, TooManyRequests):
            self.asked, self.insisted, self._asked_at = before
            raise

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """A busy machine is looked at until the limit, an API that gives no answer while patience lasts."""
        try:
            yield
        except MachineBusy as busy:
            self.trouble, self._failures, self._answered_at = busy, 0, time.monotonic()
        except ControllerUnreachable as away:
            self.trouble, self._failures = away, self._failures + 1
            if away.retry_after_seconds is not None:
                self._answered_at = time.monotonic()
            if time.monotonic() - self._answered_at >= self._pace.patience_seconds:
                raise
        else:
            self.trouble, self._failures, self._answered_at = None, 0, time.monotonic()

    def pause(self) -> bool:
        """Wait for the next look. False: the limit is reached. Raises ControllerClosed."""
        left = self._limit_seconds - self.elapsed_seconds
        wanted = self._wanted_pause_seconds()
        if left <= 0:
            return False
        if isinstance(self.trouble, ControllerUnreachable) and wanted > left:
            raise self.trouble
        if self._closed.wait(min(wanted, left)):
            raise ControllerClosed(self._host.name)
        return True

    def reason(self, wanted: str) -> str:
        trouble = f" ({self.trouble})" if self.trouble else ""
        return f"it was not {wanted} within {self._limit_seconds:g} s{trouble}"

    def _wanted_pause_seconds(self) -> float:
        if self._failures:
            grown = self._pace.first_look_seconds * 2.0 ** min(self._failures, 12)
            spread = min(grown, LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads callers
            asked_for = (
                self.trouble.retry_after_seconds if isinstance(self.trouble, ControllerUnreachable) else 0
            )
            return max(spread, asked_for or 0)
        self._pause_seconds = min(self._pause_seconds * 1.5, self._pace.look_seconds)
        return self._pause_seconds
