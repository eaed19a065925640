"""The host pool's memory in the database: what is known of each machine outlives whoever started it.

Who uses a host is not written twice: the living attempts and the jobs that were called say it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from batchd_api.alive import alive_since
from batchd_api.called import IS_CALLED, effective_host
from batchd_api.db.host_tables import hosts
from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, installation, jobs, queues
from batchd_api.planner import HostState, HostView
from batchd_api.services.tallies import HOST_STARTS, Tally, add
from batchd_flows.job_types import JobTypes
from batchd_infra.host_ledger import HostEntry, HostPhase, Use, Wish

_FIELDS = tuple(field.name for field in fields(HostEntry))


class DatabaseLedger:
    """`name` is the dispatcher's: its hosts are its to stop as long as it lives, then another's."""

    def __init__(
        self, database: Database, job_types: JobTypes, name: str, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._job_types = job_types
        self._name = name
        self._clock = clock

    def entries(self) -> Mapping[str, HostEntry]:
        with self._database.read() as connection:
            return entries_in(connection)

    def uses(self) -> Mapping[str, Use]:
        with self._database.read() as connection:
            running = running_on(connection)
            called = called_for(connection, self._job_types)
        return {
            name: Use(running=running.get(name, 0), called=called.get(name, 0))
            for name in running.keys() | called.keys()
        }

    def write(self, name: str, change: Callable[[HostEntry], HostEntry]) -> HostEntry:
        with self._database.write() as connection:
            return write_entry(connection, name, change)

    def leave(self, name: str, phase: HostPhase, now: datetime) -> bool:
        with self._database.write() as connection:
            connection.execute(select(installation.c.id).with_for_update()).all()  # no planner comes between
            if running_on(connection).get(name):
                return False
            write_entry(connection, name, lambda known: known.entered(phase, now))
        return True

    def take(self, name: str) -> bool:
        with self._database.write() as connection:
            write_entry(connection, name, lambda known: known)
            carer = connection.execute(select(hosts.c.carer).where(hosts.c.name == name)).scalar_one()
            if carer == self._name:
                return True
            if carer is not None and self._is_alive(connection, carer):
                return False
            connection.execute(update(hosts).where(hosts.c.name == name).values(carer=self._name))
        return True

    def _is_alive(self, connection: Connection, dispatcher: str) -> bool:
        query = select(dispatchers.c.name).where(
            dispatchers.c.name == dispatcher, dispatchers.c.seen_at >= alive_since(self._clock())
        )
        return connection.execute(query).first() is not None


def write_entry(connection: Connection, name: str, change: Callable[[HostEntry], HostEntry]) -> HostEntry:
    """In the caller's transaction; the row is held."""
    row = connection.execute(select(hosts).where(hosts.c.name == name).with_for_update()).mappings().first()
    before = HostEntry(name=name) if row is None else _entry(row)
    after = change(before)
    if after.phase is HostPhase.STARTING and before.phase is not HostPhase.STARTING:
        add(connection, [Tally(name=HOST_STARTS, detail=name)])
    if row is None:
        connection.execute(insert(hosts).values(_values(after)))
    elif after != before:
        connection.execute(update(hosts).where(hosts.c.name == name).values(_values(after)))
    return after


def entries_in(connection: Connection) -> dict[str, HostEntry]:
    return {row["name"]: _entry(row) for row in connection.execute(select(hosts)).mappings()}


def host_phases(connection: Connection) -> dict[str, str]:
    """Host → its state in a word."""
    return {name: entry.phase.value for name, entry in entries_in(connection).items()}


def started_by_us(connection: Connection) -> list[str]:
    """The hosts that are on because we started them."""
    on = (HostPhase.STARTING, HostPhase.READY, HostPhase.STOPPING)
    return [name for name, entry in entries_in(connection).items() if entry.ours and entry.phase in on]


def running_on(connection: Connection) -> dict[str, int]:
    """Host → living attempts."""
    query = (
        select(attempts.c.host_name, func.count().label("running"))
        .where(IS_ALIVE, attempts.c.host_name.is_not(None))
        .group_by(attempts.c.host_name)
    )
    return {row.host_name: row.running for row in connection.execute(query)}


def called_for(connection: Connection, job_types: JobTypes) -> dict[str, int]:
    """Host → jobs that hold their turn."""
    query = (
        select(jobs.c.host_name, jobs.c.type_name, queues.c.host_name.label("queue_host"))
        .join_from(jobs, queues)
        .where(IS_CALLED)
    )
    counted: dict[str, int] = {}
    for row in connection.execute(query).mappings():
        host = effective_host(job_types, row["host_name"], row["type_name"], row["queue_host"])
        if host is not None:
            counted[host] = counted.get(host, 0) + 1
    return counted


def seen_as(view: HostView, entry: HostEntry | None, now: datetime) -> HostView:
    """A host as the planner takes it; `view` is what its file says."""
    if view.state is HostState.FAILED:
        return view
    entry = entry or HostEntry(name=view.name)
    if entry.draining:
        text = f"host {view.name} takes no new jobs until somebody says: batch host resume {view.name}"
        return replace(view, state=HostState.DRAINING, text=text)
    if entry.phase is HostPhase.READY:
        return replace(view, state=HostState.READY)
    if entry.phase is HostPhase.FAILED and entry.next_try is not None and entry.next_try > now:
        return replace(view, state=HostState.FAILED, text=entry.trouble or "", until=entry.next_try)
    what = "stopped, and started again then" if entry.phase is HostPhase.STOPPING else "got ready"
    return replace(view, state=HostState.COMING, text=f"host {view.name} is being {what}")


def _entry(row: RowMapping) -> HostEntry:
    named = {name: row[name] for name in _FIELDS}
    return HostEntry(
        **named
        | {
            "phase": HostPhase(row["phase"]),
            "wish": None if row["wish"] is None else Wish(row["wish"]),
            "host_keys": tuple(row["host_keys"] or ()),
        }
    )


def _values(entry: HostEntry) -> dict[str, Any]:
    named = {name: getattr(entry, name) for name in _FIELDS}
    return named | {"host_keys": list(entry.host_keys) or None}
