"""Schedules as clients make and delete them."""

import pytest

from batchd_api.db.tables import jobs
from batchd_api.errors import AlreadyExists, Invalid, NeedsForce, QueueNotFound, ScheduleNotFound
from batchd_api.schemas import NewSchedule
from batchd_api.services.schedules import Schedules
from tests.ground import ROOT

NIGHT = [{"begin": "22:00:00", "end": "06:00:00"}]


@pytest.fixture
def schedules(here):
    return Schedules(here.ground)


def test_a_schedule_is_listed_as_it_was_made(schedules):
    schedules.create(NewSchedule(name="night", weekdays=["Monday", "Friday"], time=NIGHT))
    expected = {"name": "night", "weekdays": ["Monday", "Friday"], "time": NIGHT}
    assert schedules.all() == [{"name": "anytime", "weekdays": None, "time": None}, expected]


def test_times_are_kept_with_their_seconds(schedules):
    schedules.create(NewSchedule(name="night", time=[{"begin": "22:00", "end": "06:00"}]))
    assert schedules.all()[1]["time"] == NIGHT


@pytest.mark.parametrize(
    "fields",
    [{"weekdays": []}, {"weekdays": ["Someday"]}, {"time": [{"begin": "22:00:00", "end": "22:00:00"}]},
     {"time": [{"begin": "25:00:00", "end": "26:00:00"}]}],
)  # fmt: skip
def test_a_schedule_that_makes_no_sense_is_refused_in_a_sentence(schedules, fields):
    with pytest.raises(Invalid) as caught:
        schedules.create(NewSchedule(name="night", **fields))
    assert str(caught.value).endswith(".")


def test_the_whole_day_may_be_written_as_midnight_to_midnight(schedules):
    schedules.create(NewSchedule(name="day", time=[{"begin": "00:00:00", "end": "00:00:00"}]))


def test_a_name_is_taken_once(schedules):
    with pytest.raises(AlreadyExists):
        schedules.create(NewSchedule(name="anytime"))


def test_a_used_schedule_is_deleted_only_by_force_with_its_queues_and_jobs(here, schedules):
    schedules.create(NewSchedule(name="night", time=NIGHT))
    here.queue("night", schedule_name="night")
    here.enqueue("night")
    kept = here.enqueue()
    with pytest.raises(NeedsForce, match="force"):
        schedules.delete(ROOT, "night", forced=False)
    schedules.delete(ROOT, "night", forced=True)
    with pytest.raises(QueueNotFound):
        here.queues.get("night")
    assert (here.count(jobs), here.row(kept).id) == (1, kept)


def test_an_unknown_schedule_is_not_found(schedules):
    with pytest.raises(ScheduleNotFound):
        schedules.delete(ROOT, "gone", forced=True)


def test_a_change_leaves_what_is_not_given(here, schedules):
    schedules.create(NewSchedule(name="night", weekdays=["Monday"], time=NIGHT))
    schedules.change("night", {"weekdays": ["Friday"]})
    assert schedules.all()[1] == {"name": "night", "weekdays": ["Friday"], "time": NIGHT}
    before = here.changes
    schedules.change("night", {"time": None})
    assert schedules.all()[1] == {"name": "night", "weekdays": ["Friday"], "time": None}
    assert here.changes == before + 1
    with pytest.raises(Invalid):
        schedules.change("night", {"weekdays": []})
    with pytest.raises(ScheduleNotFound):
        schedules.change("gone", {})


def test_openings_are_the_next_ones_an_open_one_first(here, schedules):
    schedules.create(NewSchedule(name="day", time=[{"begin": "08:00:00", "end": "18:00:00"}]))
    assert schedules.openings("day", 2) == [
        {"begin": "2026-11-24T12:00:00.000000Z", "end": "2026-11-24T18:00:00.000000Z"},
        {"begin": "2026-11-25T08:00:00.000000Z", "end": "2026-11-25T18:00:00.000000Z"},
    ]
    assert schedules.openings("anytime", 5) == [{"begin": "2026-11-24T12:00:00.000000Z", "end": None}]
    here.queue("day", schedule_name="day")
    queue = here.queues.get("day")
    assert (queue["open"], queue["next_change"]) == (True, "2026-11-24T18:00:00.000000Z")


def test_a_beat_of_a_dispatcher_starts_the_queues_that_are_due_and_no_other(here):
    here.queue("lazy", enabled=False)
    here.queue("off", enabled=False, autostart_job_count=2)
    here.enqueue("lazy")
    here.enqueue("lazy")
    here.enqueue("off")
    here.queues.change(ROOT, "lazy", {"autostart_job_count": 2})
    assert not here.queues.get("lazy")["enabled"]
    here.dispatcher()
    assert (here.queues.get("lazy")["enabled"], here.queues.get("off")["enabled"]) == (True, False)
