"""Which changes of a job are allowed, and what they write."""

from datetime import timedelta

import pytest

from batchd_api.db.tables import attempts
from batchd_api.errors import (
    Invalid,
    NotPermitted,
    StartOutsideSchedule,
    StatusRefused,
    UnknownInBody,
)
from batchd_api.permissions import Caller, Grant, Right
from batchd_api.schemas import JobChange
from batchd_api.statuses import JobStatus
from tests.ground import NOW, ROOT, user

CREATE = Right.CREATE_JOBS


@pytest.fixture
def night(here):
    here.schedule("night", "22:00:00", "06:00:00")
    return here.queue("night", schedule_name="night")


def test_a_start_time_is_checked_when_it_changes(here, night):
    job = here.enqueue(night)
    with pytest.raises(StartOutsideSchedule):
        here.jobs.change(ROOT, job, JobChange(values={"start_time": NOW + timedelta(days=1)}))


@pytest.mark.parametrize("before", [JobStatus.DONE, JobStatus.FAILED, JobStatus.POSTPONED, JobStatus.NEW])
def test_new_runs_a_job_again_with_its_tries_from_zero(here, before):
    job = here.enqueue()
    here.set_job(job, status=before, try_count=3, end_time=NOW, reason_code="failed", reason_text="x")
    version = here.row(job).version
    here.jobs.change(ROOT, job, JobChange(status=JobStatus.NEW))
    row = here.row(job)
    assert (row.status, row.try_count, row.end_time, row.reason_code) == ("New", 0, None, None)
    assert row.version == version + 1


@pytest.mark.parametrize("before", [JobStatus.WAITING, JobStatus.PROCESSING, JobStatus.FAILED])
def test_new_needs_that_no_attempt_lives(here, before):
    job = here.enqueue()
    here.attempt(job, state="running")
    here.set_job(job, status=before)
    with pytest.raises(StatusRefused):
        here.jobs.change(ROOT, job, JobChange(status=JobStatus.NEW))
    with here.database.write() as connection:
        connection.execute(attempts.update().values(state="ended"))
    here.jobs.change(ROOT, job, JobChange(status=JobStatus.NEW))


ALLOWED = {
    # One that waits without an execution waits for its host.
    JobStatus.POSTPONED: {JobStatus.NEW, JobStatus.POSTPONED, JobStatus.WAITING},
    JobStatus.DONE: {JobStatus.NEW, JobStatus.POSTPONED, JobStatus.DONE, JobStatus.FAILED},
    JobStatus.FAILED: {JobStatus.NEW, JobStatus.POSTPONED, JobStatus.DONE, JobStatus.FAILED},
    JobStatus.WAITING: set(),
    JobStatus.PROCESSING: set(),
}


@pytest.mark.parametrize("after", ALLOWED)
@pytest.mark.parametrize("before", list(JobStatus))
def test_a_person_may_set_only_what_a_person_decides(here, before, after):
    job = here.enqueue()
    here.set_job(job, status=before)
    if before in ALLOWED[after]:
        here.jobs.change(ROOT, job, JobChange(status=after))
        assert here.row(job).status == after
    else:
        with pytest.raises(StatusRefused):
            here.jobs.change(ROOT, job, JobChange(status=after))
        assert here.row(job).status == before


def test_closing_a_job_by_hand_gives_it_an_end(here):
    job = here.enqueue()
    here.jobs.change(ROOT, job, JobChange(status=JobStatus.FAILED))
    assert here.row(job).end_time == NOW


def test_moving_appends_to_the_other_queue_and_sets_nothing_else(here):
    here.queue("night")
    here.enqueue("night")
    job = here.enqueue(notes="n")
    here.jobs.change(ROOT, job, JobChange(move_to="night"))
    row = here.row(job)
    assert (row.queue_name, row.seq, row.status, row.notes) == ("night", 2, "New", "n")


@pytest.mark.parametrize("status", ["Waiting", "Processing"])
def test_a_job_under_way_cannot_be_moved(here, status):
    here.queue("night")
    job = here.enqueue()
    here.set_job(job, status=status)
    with pytest.raises(StatusRefused):
        here.jobs.change(ROOT, job, JobChange(move_to="night"))


def test_moving_to_an_unknown_queue_is_refused_and_to_its_own_changes_nothing(here):
    job = here.enqueue()
    here.enqueue()
    with pytest.raises(UnknownInBody, match="gone"):
        here.jobs.change(ROOT, job, JobChange(move_to="gone"))
    here.jobs.change(ROOT, job, JobChange(move_to="default"))
    assert here.row(job).seq == 1


@pytest.mark.parametrize(
    ("more", "ok"),
    [
        ([], False),
        ([Grant(right=CREATE, queue_name="night")], False),
        ([Grant(right=Right.MANAGE_JOBS, queue_name="night")], False),
        ([Grant(right=CREATE, queue_name="night"), Grant(right=Right.MANAGE_JOBS, queue_name="night")], True),
        ([Grant(right=CREATE, host_name="farm"), Grant(right=Right.MANAGE_JOBS)], False),
    ],
)
def test_moving_is_creating_there(here, more, ok):
    here.queue("night")
    job = here.enqueue()
    caller = Caller(name="ann", grants=(Grant(right=Right.MANAGE_JOBS, queue_name="default"), *more))
    if ok:
        here.jobs.change(caller, job, JobChange(move_to="night"))
    else:
        with pytest.raises(NotPermitted):
            here.jobs.change(caller, job, JobChange(move_to="night"))
        assert here.row(job).queue_name == "default"


def test_changing_the_host_is_creating_there(here):
    job = here.enqueue()
    change = JobChange(values={"host_name": "farm"})
    with pytest.raises(NotPermitted):
        here.jobs.change(user(Right.MANAGE_JOBS), job, change)
    here.jobs.change(user(Right.MANAGE_JOBS, CREATE), job, change)
    assert here.row(job).host_name == "farm"
    here.jobs.change(user(Right.MANAGE_JOBS), job, change)  # it is there already
    with pytest.raises(NotPermitted):
        here.jobs.change(user(Right.MANAGE_JOBS), job, JobChange(values={"host_name": None}))


def test_params_change_while_the_job_waits_and_are_checked(here):
    job = here.enqueue(type="render")
    here.jobs.change(ROOT, job, JobChange(params={"frames": "2"}))
    assert here.row(job).params == {"frames": "2"}
    with pytest.raises(Invalid, match="frames"):
        here.jobs.change(ROOT, job, JobChange(params={"frames": "x"}))
    here.set_job(job, status="Done")
    with pytest.raises(StatusRefused):
        here.jobs.change(ROOT, job, JobChange(params={}))


def test_a_change_is_whole_or_not_at_all(here):
    job = here.enqueue(notes="old")
    with pytest.raises(StatusRefused):
        here.jobs.change(ROOT, job, JobChange(values={"notes": "new"}, status=JobStatus.PROCESSING))
    assert here.row(job).notes == "old"


def test_an_empty_change_leaves_the_row_alone(here):
    job = here.enqueue()
    before = here.row(job)
    here.jobs.change(ROOT, job, JobChange())
    assert here.row(job) == before
