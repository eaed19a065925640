"""What Prefect's own database loses in time: finished runs with their logs and states, and events."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.objects import State, StateType
from prefect.types._datetime import now

from tests.dispatching import person, until
from tests.prefect_server import PrefectServer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
# It looks once an hour otherwise, and keeps events in memory for a while.
PREFECT_OVERRIDES = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.2",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "5",
}

DAYS = 30
RUNS_A_DAY = 4
TABLES = ("flow_run", "flow_run_state", "log", "events", "event_resources")
A_DAY_LATER = {
    "flow_run": ("end_time", "start_time", "created"),
    "flow_run_state": ("timestamp",),
    "log": ("timestamp",),
    "events": ("occurred", "received"),
    "event_resources": ("occurred", "updated"),
}


@flow(name="a-job")
def a_job() -> None: ...


@pytest.fixture
async def client(prefect_server: PrefectServer) -> AsyncIterator[PrefectClient]:
    async with person(prefect_server) as client:
        yield client


class Store:
    """Prefect's database file, beside the server that uses it."""

    def __init__(self, home: Path) -> None:
        self._file = home / "prefect.db"

    def ask(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            return connection.execute(query).fetchall()

    def count(self, table: str, where: str = "1") -> int:
        return int(self.ask(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])

    def let_a_day_pass(self) -> None:
        for table, columns in A_DAY_LATER.items():
            earlier = ", ".join(
                f"{column} = strftime('%Y-%m-%d %H:%M:%f000', {column}, '-1 day')" for column in columns
            )
            self.ask(f"UPDATE {table} SET {earlier}")

    def used_bytes(self) -> int:
        pages, unused, size = (
            int(self.ask(f"PRAGMA {name}")[0][0]) for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - unused) * size


async def a_day(client: PrefectClient) -> None:
    for _ in range(RUNS_A_DAY):
        run = await client.create_flow_run(a_job)
        for kind in (StateType.RUNNING, StateType.COMPLETED):
            await client.set_flow_run_state(run.id, State(type=kind), force=True)
        lines = [
            LogCreate(name="job", level=20, message="x" * 500, timestamp=now("UTC"), flow_run_id=run.id)
            for _ in range(20)
        ]
        await client.create_logs(lines)


async def test_over_thirty_days_runs_logs_and_events_go_and_what_waits_stays(
    client: PrefectClient, prefect_server: PrefectServer
) -> None:
    store = Store(prefect_server.home)
    waiting = await client.create_flow_run(a_job)
    sizes, events = [], []
    for _ in range(DAYS):
        await a_day(client)
        await until(lambda: store.count("flow_run", "state_type = 'COMPLETED'") > 0, "its runs")
        store.let_a_day_pass()
        await until(
            lambda: store.count("flow_run", "end_time < datetime('now', '-50 hours')") == 0, "old runs go"
        )
        sizes.append(store.used_bytes())
        events.append(store.count("events"))
    await until(lambda: store.count("log") <= 3 * RUNS_A_DAY * 20, "logs go with their runs")
    old = "occurred < datetime('now', '-50 hours')"
    await until(lambda: store.count("events", old) == store.count("event_resources", old) == 0, "events go")
    assert store.count("flow_run", "state_type = 'COMPLETED'") <= 3 * RUNS_A_DAY
    assert (await client.read_flow_run(waiting.id)).state is not None
    assert 0 < max(events[10:]) < 1.5 * max(events[:10]) + 100
    assert max(sizes[10:]) < 1.5 * max(sizes[:10])
