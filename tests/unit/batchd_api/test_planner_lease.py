"""The planner's lease on every kind of database: one holder, followed when it dies and refused later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from batchd_api.db.clock import database_now
from batchd_api.db.tables import attempts, dispatchers, leases
from batchd_api.planner import plan
from batchd_api.planner_lease import LEASE_SECONDS, SEEK_SECONDS, PlannerLease
from batchd_api.services.metrics import _living_dispatchers
from batchd_api.world import WorldStore, beat
from tests.ground import Installation


class Clock:
    """The steady clock of one machine."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(here: Installation, name: str, clock: Clock) -> PlannerLease:
    return PlannerLease(here.database, name, seconds=clock)


def held_in_database(here: Installation, held: PlannerLease) -> bool:
    with here.database.read() as connection:
        return held.is_held_in(connection)


def time_passes(here: Installation, seconds: float) -> None:
    """For the database: what was written lies that much further back."""
    with here.database.write() as connection:
        until = connection.execute(select(leases.c.until)).scalar_one()
        connection.execute(update(leases).values(until=until - timedelta(seconds=seconds)))


def test_one_of_two_holds_it_and_keeps_it_by_renewing(everywhere: Installation, clock: Clock) -> None:
    first, second = lease(everywhere, "first", clock), lease(everywhere, "second", clock)
    assert [first.seek(), second.seek()] == [True, False]
    for _ in range(10):
        clock.seconds += SEEK_SECONDS
        time_passes(everywhere, SEEK_SECONDS)
        assert [first.seek(), second.seek()] == [True, False]
    assert [first.holds, second.holds] == [True, False]


def test_a_holder_that_says_nothing_is_followed_and_refused_when_it_returns(
    everywhere: Installation, clock: Clock
) -> None:
    first, second = lease(everywhere, "first", clock), lease(everywhere, "second", clock)
    assert first.seek()
    clock.seconds += LEASE_SECONDS + 0.1
    assert not first.holds, "by its own steady clock, before it asks anybody"
    time_passes(everywhere, LEASE_SECONDS + 0.1)
    assert not held_in_database(everywhere, first)
    assert second.seek()
    assert [held_in_database(everywhere, each) for each in (first, second)] == [False, True]
    assert not first.seek()
    assert SEEK_SECONDS + LEASE_SECONDS < 15


def test_a_planner_that_was_given_up_meanwhile_writes_no_plan(everywhere: Installation, clock: Clock) -> None:
    first, second = lease(everywhere, "first", clock), lease(everywhere, "second", clock)
    here, now = everywhere, datetime.now(UTC)
    beat(here.database, "first", 1, None, now)
    job_id = here.enqueue()
    world = WorldStore(here.database, here.ground.job_types, {}, ZoneInfo("UTC"), may_write=first.is_held_in)
    assert first.seek()
    seen = world.look(now, prefect_down=None)
    decision = plan(seen.world)
    assert [start.job_id for start in decision.starts] == [job_id]
    time_passes(here, LEASE_SECONDS + 0.1)
    assert second.seek()
    assert world.apply(seen, decision) == []
    with here.database.read() as connection:
        assert connection.execute(select(attempts.c.id)).all() == []


def test_a_restart_under_the_same_name_leads_at_once_and_its_predecessor_no_more(
    everywhere: Installation, clock: Clock
) -> None:
    before, after = lease(everywhere, "one", clock), lease(everywhere, "one", clock)
    assert before.seek()
    assert after.seek()
    assert [held_in_database(everywhere, each) for each in (before, after)] == [False, True]
    assert not before.seek()


def test_who_stops_in_order_gives_it_up_and_nobody_waits(everywhere: Installation, clock: Clock) -> None:
    first, second = lease(everywhere, "first", clock), lease(everywhere, "second", clock)
    assert first.seek()
    second.give_up()
    assert not second.seek()
    first.give_up()
    assert not first.holds
    assert second.seek()


def test_a_clock_that_was_put_back_leaves_no_lease_that_lasts_for_hours(
    everywhere: Installation, clock: Clock
) -> None:
    assert lease(everywhere, "dead", clock).seek()
    time_passes(everywhere, -3600)
    assert lease(everywhere, "second", clock).seek()


def test_on_a_server_the_clocks_of_the_machines_do_not_count(everywhere: Installation) -> None:
    """Nor does anybody's idea of now decide who is alive: only on SQLite, where there is one machine."""
    wrong = datetime.now(UTC) - timedelta(hours=1)
    beat(everywhere.database, "slow-clock", 1, None, wrong)
    with everywhere.database.read() as connection:
        seen_at = connection.execute(select(dispatchers.c.seen_at)).scalar_one()
        alive = _living_dispatchers(connection, datetime.now(UTC))
        assert abs(database_now(connection) - datetime.now(UTC)) < timedelta(seconds=5)
    if everywhere.database.is_sqlite:
        assert (seen_at, alive) == (wrong, ())
    else:
        assert abs(seen_at - datetime.now(UTC)) < timedelta(seconds=60)
        assert alive == ("slow-clock",)
