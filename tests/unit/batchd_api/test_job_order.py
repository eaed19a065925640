"""Priorities change the order among the jobs that stand in line, and nothing else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from batchd_api.db.tables import jobs
from batchd_api.errors import StatusRefused, UnknownInBody
from batchd_api.schemas import Beside, JobChange, Priority
from batchd_api.statuses import JobStatus
from tests.ground import ROOT


def prioritize(here, job, priority):
    here.jobs.change(ROOT, job, JobChange(priority=Priority(priority)))


@pytest.mark.parametrize(
    ("priority", "expected"), [("first", "bacd"), ("more", "bacd"), ("less", "acbd"), ("last", "acdb")]
)
def test_a_job_goes_where_it_is_told(here, priority, expected):
    names = {here.enqueue(): name for name in "abcd"}
    second = list(names)[1]
    prioritize(here, second, priority)
    assert "".join(names[job] for job in here.order()) == expected


def test_jobs_that_do_not_stand_in_line_are_stepped_over(here):
    first, done, last = (here.enqueue() for _ in range(3))
    here.set_job(done, status="Done")
    prioritize(here, last, "more")
    assert [job for job in here.order() if job != done] == [last, first]


def test_the_first_cannot_become_more_first(here):
    first, _second = here.enqueue(), here.enqueue()
    before = here.row(first)
    prioritize(here, first, "first")
    prioritize(here, first, "more")
    assert here.row(first) == before


@pytest.mark.parametrize("status", ["Waiting", "Processing", "Done", "Failed"])
def test_a_job_that_does_not_stand_in_line_has_no_priority(here, status):
    job = here.enqueue()
    here.set_job(job, status=status)
    with pytest.raises(StatusRefused):
        prioritize(here, job, "first")


def test_postponed_jobs_stand_in_line(here):
    first, held = here.enqueue(), here.enqueue(status=JobStatus.POSTPONED)
    prioritize(here, held, "first")
    assert here.order() == [held, first]


def test_what_has_moved_is_shown_in_prefect(here):
    first, second = here.enqueue(), here.enqueue()
    here.set_job(first, mirrored=1)
    here.set_job(second, mirrored=1)
    prioritize(here, second, "more")
    assert [here.row(job).version for job in (first, second)] == [2, 2]


STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([*Priority, "done", "new"])), max_size=20)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
def test_places_stay_unique_and_the_order_is_the_one_of_a_list(here, steps):
    here.queues.delete_jobs(ROOT, "default", list(JobStatus))
    ids = [here.enqueue() for _ in range(6)]
    line = list(ids)
    for index, step in steps:
        job = ids[index]
        if step in ("done", "new"):
            here.jobs.change(ROOT, job, JobChange(status=JobStatus(step.capitalize())))
            in_line = set(line) - {job} if step == "done" else set(line) | {job}
            line = [one for one in here.order() if one in in_line]
        elif job in line:
            prioritize(here, job, step)
            line = moved(line, job, step)
        assert [one for one in here.order() if one in line] == line
        with here.database.read() as connection:
            seqs = connection.execute(select(jobs.c.seq)).scalars().all()
        assert len(set(seqs)) == len(ids)


def moved(line, job, priority):
    at, rest = line.index(job), [one for one in line if one != job]
    place = {"first": 0, "more": max(at - 1, 0), "less": at + 1, "last": len(rest)}[priority]
    return [*rest[:place], job, *rest[place:]]


@pytest.mark.parametrize(
    ("moved", "place", "other", "expected"),
    [
        ("a", "before", "d", "bcade"),
        ("a", "after", "d", "bcdae"),
        ("e", "before", "b", "aebcd"),
        ("e", "after", "a", "aebcd"),
        ("c", "before", "c", "abcde"),
        ("b", "before", "c", "abcde"),
    ],
)
def test_a_job_is_put_beside_another_and_those_between_move_by_one(here, moved, place, other, expected):
    ids = {name: here.enqueue() for name in "abcde"}
    before = sorted(here.row(job).seq for job in ids.values())
    beside = Beside(job_id=ids[other], is_before=place == "before")
    here.jobs.change(ROOT, ids[moved], JobChange(beside=beside))
    assert here.order() == [ids[name] for name in expected]
    assert sorted(here.row(job).seq for job in ids.values()) == before


def test_a_job_is_put_beside_one_of_its_own_queue_that_stands_in_line(here):
    here.queue("night")
    job, foreign, done = here.enqueue(), here.enqueue("night"), here.enqueue()
    here.set_job(done, status="Done")
    for other, refusal in ((foreign, UnknownInBody), (999, UnknownInBody), (done, StatusRefused)):
        with pytest.raises(refusal):
            here.jobs.change(ROOT, job, JobChange(beside=Beside(job_id=other, is_before=True)))
