"""One turn of the planner: when it looks at once again."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from batchd_api.db.tables import jobs
from batchd_api.dispatch_counts import DispatchCounts
from batchd_api.planner import HostState, HostView
from batchd_api.planner_lease import PlannerLease
from batchd_api.planning import Planning
from batchd_api.world import WorldStore, beat
from batchd_api.world_jobs import PAGE
from tests.ground import NOW, Installation

MOST_TURNS = 20
FAILED = HostView(name="farm", state=HostState.FAILED, text="farm is away")
COMING = HostView(name="farm", state=HostState.COMING, text="farm starts")


def many(here: Installation, count: int, first_seq: int = 1, **values: object) -> None:
    row = {"queue_name": "default", "type_name": "command", "user_name": "root", "params": {}}
    row |= {"create_time": NOW, "status": "New", **values}
    with here.database.write() as connection:
        connection.execute(insert(jobs), [row | {"seq": first_seq + n} for n in range(count)])


def turns_without_a_wait(here: Installation, workers: int, *hosts: HostView) -> int:
    """How often the planner looked until it would sleep."""
    beat(here.database, "d", workers, None, NOW)
    lease = PlannerLease(here.database, "d")
    views = {host.name: host for host in hosts}
    planning = Planning(
        WorldStore(here.database, here.ground.job_types, views, ZoneInfo("UTC"), may_write=lease.is_held_in),
        lease,
        counts=DispatchCounts("d"),
        prefect_down=lambda: None,
        poll_timeout_seconds=60,
        clock=lambda: NOW,
    )

    async def turn() -> int:
        await planning.seek_lead()
        for number in range(1, MOST_TURNS):
            if not (await planning.turn()).again:
                return number
        return MOST_TURNS

    return asyncio.run(turn())


def test_more_slots_than_it_looks_at_are_filled_without_a_wait(here: Installation) -> None:
    many(here, 3 * PAGE)
    assert turns_without_a_wait(here, 2 * PAGE + 50) == 3
    assert here.count(jobs, jobs.c.status == "Waiting") == 2 * PAGE + 50


def test_a_long_queue_whose_slots_are_full_is_looked_at_once(here: Installation) -> None:
    many(here, 3 * PAGE)
    assert turns_without_a_wait(here, 1) == 1


@pytest.mark.parametrize("ahead", [PAGE - 5, PAGE + 5])
def test_jobs_whose_host_has_just_failed_let_those_behind_them_start_without_a_wait(
    here: Installation, ahead: int
) -> None:
    many(here, ahead, host_name="farm")
    many(here, PAGE, ahead + 1)
    assert turns_without_a_wait(here, 10, FAILED) < MOST_TURNS
    assert here.count(jobs, jobs.c.status == "Waiting") == 10
    assert turns_without_a_wait(here, 10, FAILED) == 1


def test_more_jobs_than_it_looks_at_are_called_without_a_wait(here: Installation) -> None:
    many(here, 3 * PAGE, host_name="farm")
    assert turns_without_a_wait(here, PAGE + 50, COMING) == 2
    assert here.count(jobs, jobs.c.status == "Waiting") == PAGE + 50
