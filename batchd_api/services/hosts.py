"""Hosts as people see them, and what they ask of them. A dispatcher carries it out: this writes it down."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select

from batchd_api.alive import alive_since
from batchd_api.db.host_tables import host_tests
from batchd_api.db.tables import dispatchers
from batchd_api.errors import Conflict, NotFound
from batchd_api.host_ledger import called_for, entries_in, running_on, write_entry
from batchd_api.permissions import Caller
from batchd_api.services.ground import Ground
from batchd_api.times import format_time
from batchd_infra.host_care import idle_until
from batchd_infra.host_ledger import HostEntry, HostPhase, Wish
from batchd_infra.hosts import LOCAL_CONTROLLER, Host
from batchd_infra.left_machines import as_host

STATES = ("off", "on", "starting", "ready", "draining", "stopping", "failed")
NO_FILE = "no file defines it any more; its machine, which we started, is stopped when no job runs there"
TEST_SECONDS = 50.0  # a dispatcher's own limit is shorter
TEST_LOOK_SECONDS = 0.2


class HostBusy(Conflict):
    """{message}"""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(f'Host "{name}" runs {count} jobs: drain it and wait, or cancel them.')


class CannotPower(Conflict):
    """{message}"""

    def __init__(self, name: str) -> None:
        super().__init__(f'Host "{name}" has the controller local, which stops nothing: drain it instead.')


class NobodyThere(Conflict):
    """{message}"""

    def __init__(self) -> None:
        super().__init__("No dispatcher is alive: there is nobody to test a host from.")


class HostStates:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def all(self) -> list[dict[str, Any]]:
        """Machines that we started and whose file is gone, too."""
        with self._ground.database.read() as connection:
            hosts = [*self._ground.hosts, *_without_a_file(self._ground, connection)]
            return host_records(self._ground, connection, hosts)

    def get(self, name: str) -> dict[str, Any]:
        host = self._host(name, with_file=False)
        with self._ground.database.read() as connection:
            return host_records(self._ground, connection, [host])[0]

    def start(self, name: str) -> None:
        """Now, without a job; it takes jobs again where it was drained."""
        host = self._host(name)
        self._write(
            host, lambda known: replace(known, wish=Wish.START, draining=False, next_try=None, failures=0)
        )

    def stop(self, name: str) -> None:
        """Now; it takes no new jobs until it is started or resumed. Raises HostBusy, CannotPower."""
        host = self._host(name, with_file=False)
        if host.controller == LOCAL_CONTROLLER:
            raise CannotPower(host.name)
        with self._ground.database.write() as connection:
            if running := running_on(connection).get(host.name):
                raise HostBusy(host.name, running)
            write_entry(connection, host.name, lambda known: replace(known, wish=Wish.STOP, draining=True))
        self._ground.changed()

    def drain(self, name: str) -> None:
        self._write(self._host(name), lambda known: replace(known, draining=True))

    def resume(self, name: str) -> None:
        """Takes jobs again, and is tried at once where it had failed."""
        self._write(self._host(name), lambda known: replace(known, draining=False, next_try=None, failures=0))

    async def test(self, caller: Caller, name: str) -> dict[str, Any]:
        """Raises NobodyThere."""
        host = self._host(name)
        asked = await asyncio.to_thread(self._ask, caller, host)
        deadline = asyncio.get_running_loop().time() + TEST_SECONDS
        while (steps := await asyncio.to_thread(self._steps, asked)) is None:
            if asyncio.get_running_loop().time() > deadline:
                text = f"no dispatcher has answered in {TEST_SECONDS:g} s"
                steps = [{"step": "dispatcher", "ok": False, "text": text}]
                break
            await asyncio.sleep(TEST_LOOK_SECONDS)
        return {"name": host.name, "ok": all(step["ok"] for step in steps), "steps": steps}

    def _ask(self, caller: Caller, host: Host) -> int:
        now = self._ground.clock()
        with self._ground.database.write() as connection:
            alive = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(now)).limit(1)
            if connection.execute(alive).first() is None:
                raise NobodyThere
            values = {"host_name": host.name, "asked_by": caller.name, "asked_at": now}
            made = connection.execute(insert(host_tests).values(values).returning(host_tests.c.id))
            asked = int(made.scalar_one())
        self._ground.changed()
        return asked

    def _steps(self, asked: int) -> list[dict[str, Any]] | None:
        query = select(host_tests.c.steps).where(host_tests.c.id == asked, host_tests.c.ended_at.is_not(None))
        with self._ground.database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _write(self, host: Host, change: Any) -> None:
        with self._ground.database.write() as connection:
            write_entry(connection, host.name, change)
        self._ground.changed()

    def _host(self, name: str, *, with_file: bool = True) -> Host:
        if name in self._ground.hosts:
            return self._ground.hosts.get(name)
        if not with_file:
            with self._ground.database.read() as connection:
                left = _without_a_file(self._ground, connection)
            for host in left:
                if host.name == name:
                    return host
        raise NotFound("host", name)


def _without_a_file(ground: Ground, connection: Connection) -> list[Host]:
    """Machines that we started as hosts that no file defines any more."""
    named = {host.name for host in ground.hosts}
    entries = entries_in(connection)
    return [as_host(entries[name]) for name in sorted(entries.keys() - named) if entries[name].ours]


def host_records(ground: Ground, connection: Connection, hosts: list[Host]) -> list[dict[str, Any]]:
    entries, running = entries_in(connection), running_on(connection)
    called = called_for(connection, ground.job_types)
    return [
        _record(ground, host, entries.get(host.name) or HostEntry(name=host.name))
        | {"jobs": running.get(host.name, 0), "waiting": called.get(host.name, 0)}
        for host in hosts
    ]


def count_states(ground: Ground, connection: Connection) -> dict[str, int]:
    """How many hosts are in each of STATES, zeros too: for metrics."""
    counted = Counter(record["state"] for record in host_records(ground, connection, list(ground.hosts)))
    return {state: counted[state] for state in STATES}


def _record(ground: Ground, host: Host, entry: HostEntry) -> dict[str, Any]:
    return {
        "name": host.name,
        "defined": _is_defined(ground, host),
        "state": _state(ground, host, entry),
        "controller": host.controller,
        "max_jobs": host.max_jobs,
        "since": format_time(entry.since),
        "idle_since": format_time(entry.idle_since),
        "idle_until": format_time(idle_until(host, entry)),
        "started_by_us": entry.ours,
        "draining": entry.draining,
        "trouble": _trouble(ground, host, entry),
        "next_try": format_time(entry.next_try),
        "alarm": entry.alarm,
    }


def _trouble(ground: Ground, host: Host, entry: HostEntry) -> str | None:
    return entry.fault or entry.trouble if _is_defined(ground, host) else NO_FILE


def _is_defined(ground: Ground, host: Host) -> bool:
    """By a file, whose name may differ from the host's. One that is not can only be stopped."""
    return host.name in {one.name for one in ground.hosts}


def _state(ground: Ground, host: Host, entry: HostEntry) -> str:
    if entry.phase in (HostPhase.STARTING, HostPhase.STOPPING):
        return entry.phase.value
    waits = entry.next_try is not None and entry.next_try > ground.clock()
    if entry.fault or (entry.phase is HostPhase.FAILED and waits):
        return "failed"
    if entry.draining:
        return "draining"
    if entry.phase is HostPhase.READY:
        return "ready"
    return "on" if host.controller == LOCAL_CONTROLLER else "off"
