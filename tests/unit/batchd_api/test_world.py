"""Reading the world and writing a plan down."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select

from batchd_api.db.tables import attempts, jobs
from batchd_api.planner import HostState, HostView, Plan, plan
from batchd_api.schemas import JobChange
from batchd_api.statuses import JobStatus, Reason, ReasonCode
from batchd_api.world import WorldStore, beat
from batchd_api.world_jobs import PAGE
from tests.ground import NOW, ROOT, Installation

SLOTS = Reason(code=ReasonCode.SLOTS, text="all 1 workers are busy")
LATER = NOW + timedelta(hours=1)


def store(here: Installation, **hosts: HostView) -> WorldStore:
    beat(here.database, "d", 1, None, NOW)
    return WorldStore(here.database, here.ground.job_types, hosts, ZoneInfo("UTC"))


def look(world: WorldStore) -> Any:
    return world.look(NOW, prefect_down=None)


def only_reason(job_id: int, reason: Reason) -> Plan:
    return Plan(starts=(), reasons={job_id: reason}, look_again=None)


def attempt_rows(here: Installation) -> list[Any]:
    with here.database.read() as connection:
        return list(connection.execute(select(attempts).order_by(attempts.c.id)))


# --- taking ---


def test_a_start_is_written_down_as_an_attempt_with_a_token(everywhere):
    job_id, world = everywhere.enqueue(), store(everywhere)
    seen = look(world)
    (taken,) = world.apply(seen, plan(seen.world))
    assert (taken.job_id, taken.number, taken.dispatcher) == (job_id, 1, "d")
    row, (attempt,) = everywhere.row(job_id), attempt_rows(everywhere)
    assert (row.status, row.attempt, row.reason_code) == ("Waiting", 1, None)
    assert (attempt.state, attempt.dispatcher, attempt.taken_at) == ("taken", "d", NOW)
    assert len(attempt.token) >= 24


def test_of_two_who_take_a_job_one_gets_it(everywhere):
    everywhere.enqueue()
    one, two = store(everywhere), store(everywhere)
    seen_by_one, seen_by_two = look(one), look(two)
    assert len(one.apply(seen_by_one, plan(seen_by_one.world))) == 1
    assert two.apply(seen_by_two, plan(seen_by_two.world)) == []
    assert len(attempt_rows(everywhere)) == 1


def test_of_two_planners_only_one_fills_the_last_slot(everywhere):
    """Each saw one free worker; they would not even start the same job."""
    first, second = everywhere.enqueue(), everywhere.enqueue()
    one, two = store(everywhere), store(everywhere)
    seen_by_one, seen_by_two = look(one), look(two)
    one.apply(seen_by_one, plan(seen_by_one.world))
    its_plan = plan(replace(seen_by_two.world, jobs=[j for j in seen_by_two.world.jobs if j.id == second]))
    assert [start.job_id for start in its_plan.starts] == [second]
    assert two.apply(seen_by_two, its_plan) == []
    assert everywhere.row(first).status == "Waiting"
    assert everywhere.row(second).status == "New"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "Postponed"},
        {"queue_name": "night"},
        {"start_time": LATER},
        {"host_name": "farm"},
        {"params": {"command": "other"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_job_that_was_changed_since_the_look_is_left_to_the_next_one(here, change):
    job_id, world = here.enqueue(), store(here)
    here.queue("night")
    seen = look(world)
    here.set_job(job_id, version=here.row(job_id).version + 1, **change)
    before = here.row(job_id)
    assert world.apply(seen, plan(seen.world)) == []
    assert here.row(job_id) == before


def test_a_job_that_was_deleted_since_the_look_is_not_taken(here):
    job_id, world = here.enqueue(), store(here)
    seen = look(world)
    here.jobs.delete(ROOT, job_id)
    assert world.apply(seen, plan(seen.world)) == []
    assert attempt_rows(here) == []


def test_the_queue_that_was_served_knows_when(here):
    here.enqueue()
    world = store(here)
    seen = look(world)
    assert {view.last_start for view in seen.world.queues} == {None}
    world.apply(seen, plan(seen.world))
    assert [view.last_start for view in look(world).world.queues if view.name == "default"] == [NOW]


# --- reasons ---


def test_a_reason_is_written_once_and_read_back(everywhere):
    job_id, world = everywhere.enqueue(), store(everywhere)
    reason = Reason(code=ReasonCode.WINDOW, text="night opens at 22:00", until=LATER)
    world.apply(look(world), only_reason(job_id, reason))
    assert look(world).reasons[job_id] == reason
    before = everywhere.row(job_id)
    world.apply(look(world), only_reason(job_id, reason))
    assert everywhere.row(job_id) == before


def test_only_another_code_makes_a_job_due_in_prefect(here):
    job_id, world = here.enqueue(), store(here)
    versions = []
    for reason in (SLOTS, replace(SLOTS, text="queue default runs 1 of 1 jobs"), replace(SLOTS, until=LATER)):
        world.apply(look(world), only_reason(job_id, reason))
        assert look(world).reasons[job_id] == reason
        versions.append(here.row(job_id).version)
    assert len(set(versions)) == 1
    world.apply(look(world), only_reason(job_id, replace(SLOTS, code=ReasonCode.POSITION)))
    assert here.row(job_id).version == versions[0] + 1


def test_a_reason_is_not_written_over_a_change(here):
    job_id, world = here.enqueue(), store(here)
    seen = look(world)
    here.jobs.change(ROOT, job_id, JobChange(status=JobStatus.POSTPONED))
    world.apply(seen, only_reason(job_id, SLOTS))
    assert here.row(job_id).reason_code is None


def test_a_plan_that_changes_nothing_writes_nothing(here):
    job_id, world = here.enqueue(), store(here)
    world.apply(look(world), only_reason(job_id, SLOTS))
    seen = look(world)
    here.database.write = None  # type: ignore[method-assign,assignment]  # whoever writes now fails
    assert world.apply(seen, only_reason(job_id, SLOTS)) == []


# --- the look ---


def test_the_host_is_the_jobs_else_its_types_else_its_queues(here):
    here.queue("lab", host_name="lab")
    ids = {
        here.enqueue("lab", type="farmed", host_name="lab"): "lab",
        here.enqueue("lab", type="farmed"): "farm",
        here.enqueue("lab"): "lab",
        here.enqueue(): None,
    }
    seen = look(store(here))
    assert {view.id: view.host_name for view in seen.world.jobs} == ids


def test_a_job_of_a_type_that_is_gone_is_looked_at_all_the_same(here):
    job_id = here.enqueue()
    here.set_job(job_id, type_name="removed")
    assert [view.id for view in look(store(here)).world.jobs] == [job_id]


@pytest.mark.sqlite_only(reason="on a server its clock counts, and stands still for no test")
def test_a_dispatcher_counts_while_it_was_seen_of_late(here):
    world = store(here)
    beat(here.database, "old", 4, ["default"], NOW - timedelta(seconds=16))
    assert [view.name for view in look(world).world.dispatchers] == ["d"]
    beat(here.database, "old", 2, ["default"], NOW)
    views = {view.name: view for view in look(world).world.dispatchers}
    assert (views["old"].workers, views["old"].queues) == (2, frozenset({"default"}))
    assert views["d"].queues is None


def test_a_living_attempt_is_busy_also_when_its_job_was_deleted(here):
    job_id = here.enqueue()
    here.attempt(job_id)
    here.set_job(job_id, status="Processing")
    here.jobs.delete(ROOT, job_id)
    (view,) = look(store(here)).world.busy
    assert (view.job_id, view.queue_name, view.dispatcher) == (job_id, "default", "d")


def many(here: Installation, count: int, first_seq: int, **values: Any) -> None:
    row = {"queue_name": "default", "type_name": "command", "user_name": "root", "params": {}}
    row |= {"create_time": NOW, "status": "New", **values}
    with here.database.write() as connection:
        connection.execute(insert(jobs), [row | {"seq": first_seq + n} for n in range(count)])


def test_jobs_whose_time_has_not_come_do_not_hide_those_behind_them(here):
    many(here, PAGE + 10, 1, start_time=LATER)
    behind = here.enqueue()
    world = store(here)
    seen = look(world)
    assert [start.job_id for start in plan(seen.world).starts] == [behind]


def test_jobs_that_wait_for_their_host_do_not_hide_those_behind_them(here):
    many(here, PAGE + 10, 1, host_name="farm")
    behind = here.enqueue()
    world = store(here, farm=HostView(name="farm", state=HostState.FAILED, text="farm is away"))
    world.apply(seen := look(world), plan(seen.world))  # the first look writes why they wait
    assert [start.job_id for start in plan(look(world).world).starts] == [behind]


def test_a_long_queue_is_looked_at_by_its_first_jobs_only(here):
    many(here, PAGE + 10, 1)
    assert [view.seq for view in look(store(here)).world.jobs] == list(range(1, PAGE + 1))
