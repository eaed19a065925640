"""Getting one host ready: its machine runs, SSH answers, its start-up commands have run; or why not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from batchd_infra.controller import (
    Controller,
    ControllerClosed,
    ControllerError,
    MachineState,
    StartFailed,
)
from batchd_infra.errors import InfraError
from batchd_infra.host_care import next_try
from batchd_infra.host_ledger import HostEntry, HostLedger, HostPhase, Wish
from batchd_infra.hosts import Host
from batchd_infra.ssh_errors import HostKeyRefused, KeyUnusable, SshError, Unreachable

log = logging.getLogger("batchd.hosts")


class PoolClosed(InfraError):
    """We are stopping; the host stays as it is."""


class HostFault(InfraError):
    """What fails a host's jobs; `output` is what a start-up command said."""

    def __init__(self, message: str, output: str | None = None) -> None:
        self.output = output
        super().__init__(message)


class Preparation(Protocol):
    """What makes a machine that runs one that can be used. All of it blocks, in any thread."""

    def reach(self, host: Host, entry: HostEntry) -> None:
        """Log in. Raises SshError."""

    def prepare(self, host: Host, entry: HostEntry) -> None:
        """Run the start-up commands. Raises HostFault, or Unreachable."""

    def forget(self, host: Host, entry: HostEntry) -> None:
        """The machine is no more: the next one at that address has another host key. Raises InfraError."""

    def forget_address(self, address: str) -> None:
        """The same, where no file says any more how that machine was reached. Raises InfraError."""


@dataclass(frozen=True, kw_only=True)
class StartPace:
    """`tries` in a row, then the host has failed for a while. `ready_limit_seconds`: how long after the start
    of a machine SSH may take to let us in."""

    tries: int = 3
    try_pause_seconds: float = 5.0
    look_seconds: float = 1.0
    ready_limit_seconds: float = 180.0


class HostStart:
    def __init__(
        self,
        ledger: HostLedger,
        preparation: Preparation,
        closed: threading.Event,
        *,
        clock: Callable[[], datetime],
        pace: StartPace,
    ) -> None:
        self._ledger = ledger
        self._preparation = preparation
        self._closed = closed
        self._clock = clock
        self._pace = pace

    def run(self, host: Host, controller: Controller) -> None:
        """Ends in READY, also with a fault that its jobs shall fail of, or in FAILED. Raises PoolClosed."""
        trouble = ""
        for number in range(self._pace.tries):
            if number and self._closed.wait(self._pace.try_pause_seconds):
                raise PoolClosed
            try:
                self._try(host, controller)
            except ControllerClosed:
                raise
            except (ControllerError, Unreachable) as error:
                trouble = _sentence(error)
                log.warning("host %s did not get ready (try %d): %s", host.name, number + 1, trouble)
            except (HostFault, SshError) as error:
                self._note_fault(host, _sentence(error), getattr(error, "output", None))
                return
            else:
                self._ledger.write(host.name, self._ready)
                log.info("host %s is ready", host.name)
                return
        self._ledger.write(host.name, lambda known: self._failed(known, trouble))

    def _try(self, host: Host, controller: Controller) -> None:
        started_now = controller.can_start_stop and self._power_on(host, controller)
        address = controller.address(host)
        keys = controller.host_keys(host)
        entry = self._ledger.write(host.name, lambda known: replace(known, address=address, host_keys=keys))
        self._reach(host, entry, patient=started_now)
        self._preparation.prepare(host, entry)

    def _power_on(self, host: Host, controller: Controller) -> bool:
        """Whether it was off. That it is ours is written down before the start: no crash forgets it."""
        state = controller.status(host)
        if state is MachineState.RUNNING:
            # One of ours that has just been started, before a crash, may still be coming up.
            return self._ledger.write(host.name, lambda known: _named(known, host)).ours
        if state is MachineState.UNKNOWN:  # to be stopped some day or not: that must be known
            raise StartFailed(host.name, state, "whether it runs cannot be told")
        if state is not MachineState.STARTING:
            self._ledger.write(host.name, lambda known: _named(replace(known, ours=True), host))
            log.info("host %s is started", host.name)
        controller.start(host)
        return True

    def _reach(self, host: Host, entry: HostEntry, *, patient: bool) -> None:
        """A machine that has just been started may refuse us for a while: it makes its users first."""
        if not patient:
            self._preparation.reach(host, entry)
            return
        begin = time.monotonic()
        self._pause(host.startup_time_seconds)
        while True:
            try:
                self._preparation.reach(host, entry)
            except (HostKeyRefused, KeyUnusable):
                raise
            except SshError:
                left = begin + host.startup_time_seconds + self._pace.ready_limit_seconds - time.monotonic()
                if left <= 0:
                    raise
                self._pause(min(self._pace.look_seconds, left))
            else:
                return

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise PoolClosed

    def _ready(self, known: HostEntry) -> HostEntry:
        now = self._clock()
        return replace(
            known.entered(HostPhase.READY, now),
            failures=0,
            next_try=None,
            trouble=None,
            alarm=None,
            idle_since=now,
            wish=None if known.wish is Wish.START else known.wish,
        )

    def _failed(self, known: HostEntry, trouble: str) -> HostEntry:
        now = self._clock()
        failures = known.failures + 1
        again = next_try(failures, now)
        log.error("host %s has failed: %s It is tried again at %s.", known.name, trouble, again.isoformat())
        return replace(
            known.entered(HostPhase.FAILED, now),
            failures=failures,
            next_try=again,
            trouble=trouble,
            wish=None if known.wish is Wish.START else known.wish,
        )

    def _note_fault(self, host: Host, sentence: str, output: str | None) -> None:
        log.error("host %s cannot be used: %s", host.name, sentence)

        def change(known: HostEntry) -> HostEntry:
            ready = self._ready(known)
            return replace(ready, fault=sentence, fault_output=output)

        self._ledger.write(host.name, change)


def _named(known: HostEntry, host: Host) -> HostEntry:
    """How one of ours is found again, whatever its file says by then."""
    if not known.ours:
        return known
    return replace(known, controller=host.controller, controller_id=host.controller_id)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."
