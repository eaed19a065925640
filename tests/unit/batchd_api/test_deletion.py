"""What is left of a deleted job, and what is not."""

import pytest

from batchd_api.db.tables import attempts, flow_runs, output
from batchd_api.errors import (
    JobNotFound,
)
from batchd_api.permissions import Right
from tests.ground import NOW, ROOT

CREATE = Right.CREATE_JOBS


def test_deleting_a_job_leaves_only_what_must_still_end(here):
    job = here.enqueue()
    here.attempt(job, state="ended", number=1, stdout=[b"x"])
    here.attempt(job, state="running", number=2, stdout=[b"y"])
    here.flow_run(job, "run")
    here.jobs.delete(ROOT, job)
    with pytest.raises(JobNotFound):
        here.jobs.get(job)
    with here.database.read() as connection:
        left = connection.execute(attempts.select()).one()
        run = connection.execute(flow_runs.select()).one()
    assert (left.number, left.cancel_requested_at, left.cancelled_by, run.gone) == (2, NOW, "root", True)
    assert here.count(output) == 0


def test_deleting_leaves_other_jobs_alone(here):
    job, other = here.enqueue(), here.enqueue()
    for one in (job, other):
        here.attempt(one, stdout=[b"x"])
        here.flow_run(one, f"run{one}")
    here.jobs.delete(ROOT, job)
    assert here.count(attempts, attempts.c.job_id == other, attempts.c.cancel_requested_at.is_(None)) == 1
    assert here.count(flow_runs, flow_runs.c.gone) == 1
    assert here.jobs.get(other)["stdout"] == "x"


def test_a_job_is_deleted_by_its_place(here):
    first, second = here.enqueue(), here.enqueue()
    here.jobs.delete_in_queue(ROOT, "default", 1)
    assert (here.row(first), here.order()) == (None, [second])
