"""Makes the windows that Prefect shows match the queues, and settles their edges when they come.

Level-triggered: what it writes follows from the rows alone, and an edge only wakes the planner, which looks
at the clock. So a missed, early or doubled edge changes nothing, nor does a window that people pause, change
or delete: it is put right at the next full look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from batchd_api.db.session import Database
from batchd_api.db.tables import queues, schedules
from batchd_flows.names import WINDOWS_POOL
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_records import Gone, OrchestratorRefused, PoolOfAnotherType
from batchd_flows.orchestrator_windows import DueEdge, Window, WindowBoard, WindowSpec
from batchd_flows.window_rules import edge_rules, edges_text
from batchd_flows.windows import Schedule, ScheduleError, is_open, parse_schedule, sentence

log = logging.getLogger("batchd.windows")

FULL_LOOK_SECONDS = 300.0
NAMING_SECONDS = 60.0
# Prefect looks every five seconds for what was written, and then makes the coming runs.
NAMING_AFTER_WRITE_SECONDS = 7.0
HEARTBEAT_SECONDS = 30
# Writes at once; whoever waits for the mirror meanwhile waits half a second.
SETTLED_AT_ONCE = 20
NAMED_AT_ONCE = 10


@dataclass(frozen=True, kw_only=True)
class QueueWindow:
    queue_name: str
    schedule: Schedule


class QueueWindows:
    """Which queue has which window now. Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[QueueWindow]:
        query = select(
            queues.c.name, schedules.c.name.label("schedule_name"), schedules.c.weekdays, schedules.c.time
        )
        with self._database.read() as connection:
            rows = connection.execute(query.join_from(queues, schedules).order_by(queues.c.name)).all()
        windows = []
        for row in rows:
            with suppress(ScheduleError):  # a row that cannot be read bars its own queue; the planner says so
                schedule = parse_schedule(row.schedule_name, row.weekdays, row.time)
                windows.append(QueueWindow(queue_name=row.name, schedule=schedule))
        return windows


def window_spec(window: QueueWindow, zone: ZoneInfo) -> WindowSpec:
    """What people are shown of it."""
    rules = edge_rules(window.schedule)
    of_zone = f" ({zone.key})" if rules else ""
    return WindowSpec(
        queue_name=window.queue_name,
        description=(
            f"Queue {window.queue_name} {edges_text(rules)}{of_zone}. Schedule: {window.schedule.name}."
        ),
        rules=tuple(sorted((rule.slug, rule.rrule) for rule in rules)),
        zone_name=zone.key if rules else "",
    )


class WindowMirror:
    """Runs in the event loop, inside the mirror's own loop: Prefect is written to one at a time."""

    def __init__(
        self,
        windows: Callable[[], Sequence[QueueWindow]],
        orchestrator: Orchestrator,
        zone: ZoneInfo,
        *,
        worker_name: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._windows = windows
        self._board = WindowBoard(orchestrator)
        self._orchestrator = orchestrator
        self._zone = zone
        self._worker_name = worker_name
        self._clock = clock
        self._seconds = seconds
        self._schedules: dict[str, Schedule] = {}
        self._shown: dict[str, WindowSpec] = {}
        self._deployments: dict[UUID, str] = {}  # the queue of each
        self._refused: dict[str, str] = {}  # what was said of a queue's window already
        self._full_look_at = self._naming_at = self._beat_at = float("-inf")

    async def step(self) -> bool:
        """One look, to be made every ten seconds or so and when queues change. True: wake the planner.

        One short question where nothing is due. Raises what the orchestrator raises while Prefect is away.
        """
        try:
            await self._show(await asyncio.to_thread(self._windows))
            settled = await self.look(self._clock())
            await self._name_runs()
            await self._beat()
        except Gone:  # a person deleted something: all of it is made again at the next step
            self._full_look_at = float("-inf")
            return False
        except PoolOfAnotherType as error:
            self._say(WINDOWS_POOL, error)
            return False
        return settled

    async def look(self, now: datetime) -> bool:
        """Settle the edges that have come by now; whether there were any."""
        due = await self._board.due_edges(self._deployments, now)
        for edge in due[:SETTLED_AT_ONCE]:
            await self._board.settle(edge.run_id, self._message(edge, now))
        return bool(due)

    def _message(self, edge: DueEdge, now: datetime) -> str:
        """What the clock says, which may not be what the edge says."""
        schedule = self._schedules[self._deployments[edge.deployment_id]]
        state = "open" if is_open(schedule, now, self._zone) else "closed"
        return f"{state}: {sentence(schedule, now, self._zone)}"

    # Windows as deployments

    async def _show(self, windows: Sequence[QueueWindow]) -> None:
        """Write what differs: from what we wrote last, and now and then from what is really there."""
        wanted = {window.queue_name: window_spec(window, self._zone) for window in windows}
        self._schedules = {window.queue_name: window.schedule for window in windows}
        if wanted == self._shown and self._seconds() < self._full_look_at:
            return
        await self._board.ensure_pool()
        there = await self._board.read_windows()
        for name in there.keys() - wanted.keys():
            await self._board.delete_window(there[name].deployment_id)
        ids = {name: await self._ensure(there.get(name), spec) for name, spec in wanted.items()}
        self._deployments = {found: name for name, found in ids.items() if found is not None}
        self._refused = {name: said for name, said in self._refused.items() if name in wanted}
        self._shown = wanted
        self._full_look_at = self._seconds() + FULL_LOOK_SECONDS

    async def _ensure(self, there: Window | None, spec: WindowSpec) -> UUID | None:
        """None: Prefect refuses it; the queue itself works all the same."""
        if there is not None and there.spec == spec:
            return there.deployment_id
        try:
            written = await self._board.write_window(spec)
        except OrchestratorRefused as error:
            self._say(spec.queue_name, error)
            return there.deployment_id if there is not None else None
        self._refused.pop(spec.queue_name, None)
        self._naming_at = self._seconds() + NAMING_AFTER_WRITE_SECONDS
        return written

    # Readable, and alive

    async def _name_runs(self) -> None:
        now = self._seconds()
        if now < self._naming_at:
            return
        renamed = await self._board.name_runs(self._deployments, self._zone, NAMED_AT_ONCE)
        self._naming_at = now if renamed == NAMED_AT_ONCE else now + NAMING_SECONDS

    async def _beat(self) -> None:
        if self._seconds() < self._beat_at:
            return
        await self._orchestrator.heartbeat(WINDOWS_POOL, self._worker_name, HEARTBEAT_SECONDS)
        self._beat_at = self._seconds() + HEARTBEAT_SECONDS

    def _say(self, name: str, error: Exception) -> None:
        """Once, not at every look."""
        if self._refused.get(name) != str(error):
            log.error("Prefect does not show when queues open (%s): %s", name, error)
            self._refused[name] = str(error)
