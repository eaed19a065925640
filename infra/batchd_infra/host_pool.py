"""The host pool: machines are started when jobs want them, and stopped when none has for a while.

Level-triggered: `step` looks at what is written in the ledger and who uses what, and begins what is missing,
each start and stop in a thread of its own; nobody waits for it, and no bad host holds up the others. A
restart is an ordinary look: what was begun and not ended is begun again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from batchd_infra.controller import Controller, ControllerClosed, ControllerError, MachineState
from batchd_infra.controllers import Controllers
from batchd_infra.errors import InfraError
from batchd_infra.host_care import Care, due, due_to_leave
from batchd_infra.host_ledger import HostEntry, HostLedger, HostPhase, Use, Wish
from batchd_infra.host_start import HostStart, PoolClosed, Preparation, StartPace
from batchd_infra.hosts import Host, Hosts
from batchd_infra.left_machines import as_host, left_machine, nobody_stops_it

log = logging.getLogger("batchd.hosts")

STOP_AGAIN_SECONDS = 30.0
JOIN_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class PoolPace(StartPace):
    """How often things are tried."""

    stop_again_seconds: float = STOP_AGAIN_SECONDS


class HostPool:
    """`changed` is called, in any thread, whenever a host has become something else."""

    def __init__(
        self,
        hosts: Hosts,
        controllers: Controllers,
        ledger: HostLedger,
        preparation: Preparation,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: PoolPace | None = None,
    ) -> None:
        self._hosts = hosts
        self._controllers = controllers
        self._ledger = ledger
        self._changed = changed
        self._clock = clock
        self._pace = pace or PoolPace()
        self._closed = threading.Event()
        self._start = HostStart(ledger, preparation, self._closed, clock=clock, pace=self._pace)
        self._threads: dict[str, threading.Thread] = {}
        self._stop_again: dict[str, float] = {}
        self._said: set[str] = set()
        self._preparation = preparation

    def step(self) -> None:
        """Look once, and begin what is to be done. Blocks for the ledger alone."""
        entries, uses = self._ledger.entries(), self._ledger.uses()
        self._threads = {name: thread for name, thread in self._threads.items() if thread.is_alive()}
        known = {host.name: host for host in self._hosts}
        ours = (name for name, entry in entries.items() if entry.ours)
        for name in dict.fromkeys((*known, *ours)):
            if name in self._threads:
                continue
            entry = entries.get(name) or HostEntry(name=name)
            try:
                if self._look(known.get(name), entry, uses.get(name, Use())):
                    self._changed()
            except Exception:
                log.exception("the care for host %s stumbled; the others go on", name)

    def close(self) -> None:
        """What was begun is let go; the machines stay as they are, and the ledger knows them."""
        self._closed.set()
        self._controllers.close()
        for thread in self._threads.values():
            thread.join(JOIN_SECONDS)

    def _look(self, known: Host | None, entry: HostEntry, use: Use) -> bool:
        """Whether anything was begun or written."""
        left = left_machine(entry, known, self._controllers)
        host = left or known or as_host(entry)
        controller = self._controllers.of(host) if host.controller in self._controllers else None
        can_stop = controller is not None and controller.can_start_stop
        now = self._clock()
        if controller is None or left is not None:
            care = due_to_leave(entry, use, can_stop=can_stop)
        else:
            care = due(host, entry, use, now, can_stop=can_stop)
        if care is Care.NOTHING or (care is Care.STOP and self._has_just_failed_to_stop(host)):
            return False
        return self._ledger.take(host.name) and self._do(care, host, controller, now)

    def _do(self, care: Care, host: Host, controller: Controller | None, now: datetime) -> bool:
        if care is Care.ALARM:
            return self._alarm(host)
        if care is Care.GET_READY and controller is not None:
            self._begin(host, self._get_ready, controller)
        elif care is Care.STOP and controller is not None:
            return self._begin_stop(host, controller, now)
        elif care is Care.REST:
            return self._ledger.leave(host.name, HostPhase.OFF, now)
        else:
            self._ledger.write(host.name, lambda known: _noted(known, care, now))
        return True

    def _alarm(self, host: Host) -> bool:
        """Nobody can stop it: in the log once a process, and shown until it is put right."""
        sentence = nobody_stops_it(host, self._controllers)
        if sentence not in self._said:
            self._said.add(sentence)
            log.error("A machine that should be off is not: %s", sentence)
        before = self._ledger.entries().get(host.name)
        if before is not None and before.alarm == sentence:
            return False
        self._ledger.write(host.name, lambda known: replace(known, alarm=sentence))
        return True

    def _begin(self, host: Host, work: Callable[[Host, Controller], None], controller: Controller) -> None:
        def run() -> None:
            try:
                work(host, controller)
            except (ControllerClosed, PoolClosed):
                log.debug("host %s is left as it is", host.name)
            except Exception:
                log.exception("the care for host %s stumbled; it is tried again", host.name)
                self._closed.wait(self._pace.try_pause_seconds)
            finally:
                self._changed()

        thread = threading.Thread(target=run, name=f"host {host.name}", daemon=True)
        self._threads[host.name] = thread
        thread.start()

    def _get_ready(self, host: Host, controller: Controller) -> None:
        self._ledger.write(
            host.name,
            lambda known: replace(
                known.entered(HostPhase.STARTING, self._clock()),
                fault=None,
                fault_output=None,
                idle_since=None,
            ),
        )
        self._changed()
        self._start.run(host, controller)

    # Stopping

    def _has_just_failed_to_stop(self, host: Host) -> bool:
        return time.monotonic() < self._stop_again.get(host.name, 0.0)

    def _begin_stop(self, host: Host, controller: Controller, now: datetime) -> bool:
        if not self._ledger.leave(host.name, HostPhase.STOPPING, now):
            return False  # a job has come at this moment
        self._begin(host, self._stop, controller)
        return True

    def _stop(self, host: Host, controller: Controller) -> None:
        log.info("host %s is stopped", host.name)
        try:
            controller.stop(host)
        except ControllerClosed:
            raise
        except ControllerError as error:
            self._stop_again[host.name] = time.monotonic() + self._pace.stop_again_seconds
            sentence = f"{error} It is tried again."
            self._ledger.write(host.name, lambda known: replace(known, alarm=sentence))
            log.error("A machine that should be off is not: %s", sentence)  # noqa: TRY400  a sentence says it
            return
        self._stop_again.pop(host.name, None)
        self._forget_if_gone(host, controller)
        now = self._clock()
        self._ledger.write(host.name, lambda known: _stopped(known, now))
        log.info("host %s is off", host.name)

    def _forget_if_gone(self, host: Host, controller: Controller) -> None:
        """A machine that was made on demand is no more; whoever gets its address next is another."""
        entry = self._ledger.entries().get(host.name) or HostEntry(name=host.name)
        try:
            if controller.status(host) is not MachineState.ABSENT:
                return
            if host in tuple(self._hosts):
                self._preparation.forget(host, entry)
            elif entry.address is not None and not self._is_anothers(entry.address, host.name):
                self._preparation.forget_address(entry.address)
        except ControllerClosed:
            raise
        except InfraError as error:
            log.warning("host %s: the host key of its machine is not forgotten: %s", host.name, error)

    def _is_anothers(self, address: str, name: str) -> bool:
        others = (entry for entry in self._ledger.entries().values() if entry.name != name)
        return address in {host.host_name for host in self._hosts} | {entry.address for entry in others}


def _noted(known: HostEntry, care: Care, now: datetime) -> HostEntry:
    if care is Care.NOTE_IDLE:
        return replace(known, idle_since=now)
    if care is Care.NOTE_BUSY:
        return replace(known, idle_since=None)
    if care is Care.GRANTED and known.wish is Wish.STOP:  # nobody but that person can have stopped it
        return replace(known, wish=None, idle_since=now, ours=False, alarm=None)
    if care is Care.GRANTED:
        return replace(known, wish=None, idle_since=now)
    return replace(known.entered(HostPhase.OFF, now), fault=None, fault_output=None)


def _stopped(known: HostEntry, now: datetime) -> HostEntry:
    """The next try of one that had failed is kept: a stop is no reason to be in a hurry."""
    waits = known.next_try is not None and known.next_try > now
    return replace(
        known.entered(HostPhase.FAILED if waits else HostPhase.OFF, now),
        ours=False,
        alarm=None,
        address=None,
        host_keys=(),
        idle_since=None,
        fault=None,
        fault_output=None,
        wish=None if known.wish is Wish.STOP else known.wish,
    )
