"""Why a job waits, as worked out when it is read."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from batchd_api.db.tables import schedules
from batchd_api.planner import plan
from batchd_api.queries import JobsWanted
from batchd_api.world import WorldStore
from tests.ground import ROOT, statements


def reason(here, job):
    return here.jobs.get(job)["reason"]


@pytest.mark.sqlite_only(reason="on a server its clock counts, and stands still for no test")
def test_without_a_living_dispatcher_a_job_says_that_nobody_is_there(here):
    job = here.enqueue()
    assert reason(here, job)["code"] == "no-dispatcher"
    here.dispatcher()
    assert reason(here, job)["code"] == "position"
    here.now += timedelta(minutes=1)
    assert reason(here, job)["code"] == "no-dispatcher"


def test_a_dispatcher_of_other_queues_is_nobody(here):
    here.dispatcher(queues=["other"])
    assert reason(here, here.enqueue())["code"] == "no-dispatcher"


def test_a_place_is_counted_among_the_new_jobs_of_the_queue_as_of_now(here):
    here.dispatcher()
    first, second, third = (here.enqueue() for _ in range(3))
    here.queue("other")
    here.enqueue("other")
    assert reason(here, third) == {"code": "position", "text": "3 of 3 in queue default", "until": None}
    here.set_job(first, status="Done")
    assert reason(here, third)["text"] == "2 of 2 in queue default"
    here.jobs.delete(ROOT, second)
    assert reason(here, third)["text"] == "1 of 1 in queue default"


def test_what_the_planner_wrote_stands_above_a_place(here):
    here.dispatcher()
    job = here.enqueue()
    here.set_job(job, reason_code="host-full", reason_text="farm runs 2 jobs, its limit")
    assert reason(here, job)["code"] == "host-full"


def test_a_disabled_queue_a_closed_window_and_a_start_time_are_known_without_a_planner(here):
    here.dispatcher()
    here.schedule("night", "22:00:00", "06:00:00")
    here.queue("night", schedule_name="night")
    here.queue("off", enabled=False)
    later = here.now + timedelta(hours=1)
    found = [reason(here, here.enqueue(q, **f)) for q, f in (
        ("night", {}), ("off", {}), ("default", {"start_time": later}))]  # fmt: skip
    assert [one["code"] for one in found] == ["window", "queue-disabled", "not-before"]
    assert [one["until"] for one in found] == [
        "2026-11-24T22:00:00.000000Z", None, "2026-11-24T13:00:00.000000Z"]  # fmt: skip


def test_a_postponed_job_says_so(here):
    job = here.enqueue()
    here.set_job(job, status="Postponed")
    assert reason(here, job)["code"] == "postponed"


def test_a_list_of_waiting_jobs_takes_few_statements_however_long_it_is(here):
    here.dispatcher()
    for _ in range(50):
        here.enqueue()
    with statements(here) as seen:
        listed = here.jobs.in_queue("default", JobsWanted())
    assert [one["reason"]["text"] for one in listed] == [f"{n} of 50 in queue default" for n in range(1, 51)]
    assert len([one for one in seen if one.startswith("SELECT")]) <= 6


@pytest.mark.parametrize("values", [{"weekdays": ["Someday"]}, {"time": "rubbish"}, {"time": [{"begin": 5}]}])
def test_a_schedule_that_cannot_be_read_bars_only_its_own_queue(here, values):
    with here.database.write() as connection:
        connection.execute(insert(schedules).values(name="odd"))
    here.queue("odd", schedule_name="odd")
    barred, free = here.enqueue("odd"), here.enqueue()
    with here.database.write() as connection:
        connection.execute(update(schedules).where(schedules.c.name == "odd").values(values))
    here.dispatcher()
    store = WorldStore(here.database, here.ground.job_types, {}, here.ground.zone)
    seen = store.look(here.now, prefect_down=None)
    decision = plan(seen.world)
    assert [start.job_id for start in decision.starts] == [free]
    assert (decision.reasons[barred].code, "odd" in decision.reasons[barred].text) == ("window", True)
    store.apply(seen, decision)
    assert reason(here, barred)["code"] == "window"
