"""A job that is cancelled: at once while it waits, behind the answer while it runs."""

import pytest
from sqlalchemy import select

from batchd_api.db.tables import attempts
from batchd_api.errors import StatusRefused
from batchd_api.permissions import Right
from tests.ground import NOW, ROOT, user

ANN = user(Right.MANAGE_JOBS)


@pytest.mark.parametrize("status", ["New", "Postponed"])
def test_a_waiting_job_is_failed_at_once_and_names_who_cancelled(here, status):
    job = here.enqueue()
    here.set_job(job, status=status)
    here.jobs.cancel(ANN, job)
    record = here.jobs.get(job)
    assert (record["status"], here.row(job).end_time) == ("Failed", NOW)
    assert record["reason"] == {"code": "cancelled", "text": "cancelled by ann", "until": None}


@pytest.mark.parametrize(("status", "state"), [("Waiting", "taken"), ("Processing", "running")])
def test_a_running_job_is_asked_to_end_by_the_first_who_cancels(here, status, state):
    job = here.enqueue()
    here.attempt(job, state=state)
    here.set_job(job, status=status)
    here.jobs.cancel(ANN, job)
    here.jobs.cancel(ROOT, job)
    with here.database.read() as connection:
        row = connection.execute(select(attempts)).one()
    assert (row.cancel_requested_at, row.cancelled_by, here.row(job).status) == (NOW, "ann", status)


@pytest.mark.parametrize("status", ["Done", "Failed"])
def test_what_has_ended_cannot_be_cancelled(here, status):
    job = here.enqueue()
    here.set_job(job, status=status)
    with pytest.raises(StatusRefused, match="nothing to cancel"):
        here.jobs.cancel(ANN, job)
