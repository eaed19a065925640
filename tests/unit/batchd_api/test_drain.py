"""A dispatcher that takes no new jobs: what planner, second look, readers and `batchd drain` make of it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from batchd_api.db.tables import attempts
from batchd_api.drain import NotDrained, enlist, set_draining, wait_until_drained
from batchd_api.errors import StartupError
from batchd_api.launches import Launches, LaunchSettings, Look
from batchd_api.planner import plan
from batchd_api.recorder import Recorder
from batchd_api.world import WorldStore, beat
from tests.ground import NOW, Installation

DRAINING = (
    "dispatcher d is draining: it takes no new jobs until it is restarted, or until `batchd drain --off`"
)


@pytest.fixture
def draining(here: Installation) -> Installation:
    here.dispatcher("d")
    set_draining(here.database, "d", NOW, draining=True)
    return here


def starts(here: Installation) -> Any:
    world = WorldStore(here.database, here.ground.job_types, {}, ZoneInfo("UTC"))
    return plan(world.look(NOW, prefect_down=None).world)


def end_all(here: Installation) -> None:
    with here.database.write() as connection:
        connection.execute(update(attempts).values(state="ended"))


def wait(here: Installation, timeout_seconds: float | None = 30) -> list[str]:
    said: list[str] = []
    wait_until_drained(here.database, "d", lambda: here.now, timeout_seconds=timeout_seconds, say=said.append)
    return said


def test_nothing_starts_and_the_jobs_say_why_also_to_readers(draining):
    job = draining.enqueue()
    planned = starts(draining)
    assert planned.starts == ()
    assert (planned.reasons[job].code, planned.reasons[job].text) == ("no-dispatcher", DRAINING)
    shown = draining.jobs.get(job)["reason"]
    assert (shown["code"], shown["text"]) == ("no-dispatcher", DRAINING)


def test_another_dispatcher_goes_on(draining):
    draining.dispatcher("other")
    job = draining.enqueue()
    (start,) = starts(draining).starts
    assert (start.job_id, start.dispatcher) == (job, "other")


def test_it_stays_so_until_it_is_let_or_started_again(draining):
    draining.enqueue()
    draining.dispatcher("d")
    assert starts(draining).starts == ()
    set_draining(draining.database, "d", NOW, draining=False)
    assert len(starts(draining).starts) == 1
    set_draining(draining.database, "d", NOW, draining=True)
    assert beat(draining.database, "d", 1, None, NOW)
    enlist(draining.database, "d")
    assert not beat(draining.database, "d", 1, None, NOW)
    assert len(starts(draining).starts) == 1


def test_what_was_taken_and_has_not_started_is_given_back(draining, tmp_path):
    draining.attempt(draining.enqueue(), state="taken")
    settings = LaunchSettings(zone=ZoneInfo("UTC"), attempts_folder=tmp_path, variables={},
                              default_syntax="Shell", environment={}, auth_disabled=True)  # fmt: skip
    (attempt,) = Recorder(draining.database).alive("d")
    launches = Launches(draining.database, draining.ground.job_types, settings)
    assert launches.second_look(attempt, NOW) is Look.GIVE_BACK


@pytest.mark.sqlite_only(reason="on a server its clock counts, and stands still for no test")
def test_one_that_does_not_run_cannot_be_drained(here):
    with pytest.raises(StartupError, match="does not run"):
        set_draining(here.database, "d", NOW, draining=True)
    here.dispatcher("d")
    with pytest.raises(StartupError, match="does not run"):
        set_draining(here.database, "d", NOW + timedelta(minutes=1), draining=True)


def test_without_jobs_it_is_drained_at_once(draining):
    assert wait(draining) == []


def test_it_waits_for_the_last_job_and_counts_them(draining):
    for number in (1, 2):
        draining.attempt(draining.enqueue(), number=number)
    timer = threading.Timer(0.2, end_all, [draining])
    timer.start()
    assert wait(draining) == ["2 jobs running"]
    timer.join()


def test_it_gives_up_when_the_time_is_over_and_says_what_still_runs(draining):
    draining.attempt(draining.enqueue())
    with pytest.raises(NotDrained, match=r"^1 job still running after 0\.1 s"):
        wait(draining, 0.1)


def test_it_gives_up_when_the_dispatcher_stops_or_takes_jobs_again(draining):
    draining.attempt(draining.enqueue())
    draining.now += timedelta(minutes=1)
    with pytest.raises(NotDrained, match="has stopped before"):
        wait(draining, None)
    enlist(draining.database, "d")
    with pytest.raises(NotDrained, match="takes new jobs again"):
        wait(draining, None)
