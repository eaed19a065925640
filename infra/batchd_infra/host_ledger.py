"""What is known of each host's machine, and who uses it: the memory of the host pool."""

from __future__ import annotations

import enum
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol


class HostPhase(enum.StrEnum):
    OFF = "off"  # not got ready; a machine that nobody stops may be on all the same
    STARTING = "starting"
    READY = "ready"  # SSH answered, and its start-up commands have run
    STOPPING = "stopping"
    FAILED = "failed"  # it did not get ready; `next_try` says when it is tried again


class Wish(enum.StrEnum):
    """What a person has asked for and is not done yet."""

    START = "start"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class HostEntry:
    """`ours`: we started the machine, or were about to. `fault`: why the host's jobs fail, in a sentence.

    `alarm`: a machine of ours does not stop. `address` None: where the host's file says. `controller` and
    `controller_id` are those by which we started it: its file may go, or say something else by then.
    """

    name: str
    phase: HostPhase = HostPhase.OFF
    ours: bool = False
    controller: str | None = None
    controller_id: str | None = None
    since: datetime | None = None
    idle_since: datetime | None = None
    failures: int = 0
    next_try: datetime | None = None
    trouble: str | None = None
    alarm: str | None = None
    draining: bool = False
    wish: Wish | None = None
    address: str | None = None
    host_keys: tuple[str, ...] = ()
    fault: str | None = None
    fault_output: str | None = None

    def entered(self, phase: HostPhase, now: datetime) -> HostEntry:
        return replace(self, phase=phase, since=now)


@dataclass(frozen=True, kw_only=True)
class Use:
    """Jobs of a host: those that run there, and those whose turn has come and that wait for it."""

    running: int = 0
    called: int = 0

    def __bool__(self) -> bool:
        return self.running + self.called > 0


class HostLedger(Protocol):
    """Any thread may ask. What `write` returns is kept: a crash forgets nothing that was written."""

    def entries(self) -> Mapping[str, HostEntry]:
        """Of the hosts that something is known of."""

    def uses(self) -> Mapping[str, Use]: ...

    def write(self, name: str, change: Callable[[HostEntry], HostEntry]) -> HostEntry:
        """Read, change and write, in one step that nobody comes between."""

    def leave(self, name: str, phase: HostPhase, now: datetime) -> bool:
        """Enter a phase in which no job may be there, unless one runs. In one step, as `write`."""

    def take(self, name: str) -> bool:
        """From now on this pool starts and stops that host. False: another one does."""


class MemoryLedger:
    """For flows without a batchd database, and for tests."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._entries: dict[str, HostEntry] = {}
        self._running: Counter[str] = Counter()
        self._called: Counter[str] = Counter()

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """While a command runs there."""
        with self._guard:
            self._running[name] += 1
        try:
            yield
        finally:
            with self._guard:
                self._running[name] -= 1

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        """While somebody waits for it to get ready."""
        with self._guard:
            self._called[name] += 1
        try:
            yield
        finally:
            with self._guard:
                self._called[name] -= 1

    def entries(self) -> Mapping[str, HostEntry]:
        with self._guard:
            return dict(self._entries)

    def uses(self) -> Mapping[str, Use]:
        with self._guard:
            names = self._running.keys() | self._called.keys()
            return {name: Use(running=self._running[name], called=self._called[name]) for name in names}

    def write(self, name: str, change: Callable[[HostEntry], HostEntry]) -> HostEntry:
        with self._guard:
            entry = change(self._entries.get(name) or HostEntry(name=name))
            self._entries[name] = entry
            return entry

    def leave(self, name: str, phase: HostPhase, now: datetime) -> bool:
        with self._guard:
            if self._running[name]:
                return False
            entry = self._entries.get(name) or HostEntry(name=name)
            self._entries[name] = entry.entered(phase, now)
            return True

    def take(self, name: str) -> bool:
        return True
