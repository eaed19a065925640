"""Queues, and the first rows of an installation."""

import pytest

from batchd_api.db.tables import attempts, jobs, permissions, queues, schedules
from batchd_api.errors import AlreadyExists, Invalid, NeedsForce, NotPermitted, QueueNotFound, UnknownInBody
from batchd_api.permissions import Grant, Right
from batchd_api.schemas import ALL_STATUSES, NewJob
from batchd_api.services.installation import ensure_first_rows
from batchd_api.services.users import Users, grant
from batchd_api.statuses import JobStatus
from tests.ground import NOW, ROOT, quick_passwords, user


def test_a_fresh_installation_has_a_queue_and_a_schedule(here):
    expected = {"name": "default", "title": "default", "enabled": True, "schedule_name": "anytime",
                "host_name": None, "autostart_job_count": None, "max_jobs": None, "run_as": None,
                "work_pool": None, "open": True, "next_change": None,
                "expected_end": None, "notify": None}  # fmt: skip
    assert here.queues.visible(ROOT) == [expected]


def test_the_first_rows_are_made_once(here):
    here.queues.delete(ROOT, "default", forced=False)
    with here.database.write() as connection:
        one = ensure_first_rows(connection, NOW)
        assert ensure_first_rows(connection, NOW) == one
    assert here.count(queues) == 0
    assert here.count(schedules) == 1


def test_a_caller_sees_the_queues_that_he_may_view(here):
    here.queue("night")
    assert [q["name"] for q in here.queues.visible(user(Right.VIEW_QUEUES))] == ["default", "night"]
    assert [q["name"] for q in here.queues.visible(user(Right.VIEW_QUEUES, queue_name="night"))] == ["night"]
    assert here.queues.visible(user(Right.CREATE_JOBS)) == []


def test_a_name_is_taken_once(here):
    with pytest.raises(AlreadyExists, match="default"):
        here.queue("default")


@pytest.mark.parametrize("fields", [{"schedule_name": "gone"}, {"host_name": "gone"}])
def test_a_queue_needs_what_exists(here, fields):
    with pytest.raises(UnknownInBody):
        here.queue("night", **fields)
    with pytest.raises(UnknownInBody):
        here.queues.change(ROOT, "default", fields)
    with pytest.raises(QueueNotFound):
        here.queues.get("night")


def test_a_change_writes_what_it_names(here):
    here.queues.change(
        ROOT, "default", {"title": "All", "enabled": False, "host_name": "farm", "max_jobs": 2}
    )
    queue = here.queues.get("default")
    assert (queue["title"], queue["enabled"], queue["host_name"], queue["max_jobs"]) == (
        "All",
        False,
        "farm",
        2,
    )
    with pytest.raises(QueueNotFound):
        here.queues.change(ROOT, "gone", {})


def test_changing_the_host_needs_the_right_to_create_jobs_there(here):
    manager = user(Right.MANAGE_QUEUES)
    with pytest.raises(NotPermitted):
        here.queues.change(manager, "default", {"host_name": "farm"})
    here.queues.change(manager, "default", {"host_name": None})  # nothing changes
    both = user(Right.MANAGE_QUEUES, Right.CREATE_JOBS)
    here.queues.change(both, "default", {"host_name": "farm"})
    with pytest.raises(NotPermitted):
        here.queues.change(manager, "default", {"host_name": None})


def test_a_queue_with_jobs_is_deleted_only_by_force(here):
    job = here.enqueue()
    here.attempt(job)
    with pytest.raises(NeedsForce, match="force"):
        here.queues.delete(ROOT, "default", forced=False)
    here.queues.delete(ROOT, "default", forced=True)
    assert (here.count(queues), here.count(jobs)) == (0, 0)
    assert here.count(attempts, attempts.c.cancelled_by == "root") == 1


def test_permissions_about_a_deleted_queue_go_with_it(here):
    Users(here.database, quick_passwords(), here.ground.clock).create("ann", "secret")
    with here.database.write() as connection:
        grant(connection, "ann", Grant(right=Right.VIEW_JOBS, queue_name="default"))
        grant(connection, "ann", Grant(right=Right.VIEW_JOBS))
    here.queues.delete(ROOT, "default", forced=True)
    assert here.count(permissions) == 1


def test_jobs_of_one_status_are_deleted(here):
    here.queue("night")
    kept, done, other = here.enqueue(), here.enqueue(), here.enqueue("night")
    for job in (done, other):
        here.set_job(job, status="Done")
    here.queues.delete_jobs(ROOT, "default", [JobStatus.DONE])
    assert here.order() == [kept]
    here.queues.delete_jobs(ROOT, "default", ALL_STATUSES)
    assert here.order() == []
    assert here.row(other)


def test_many_jobs_are_deleted_at_once(here):
    row = dict(here.row(here.enqueue())._mapping)
    with here.database.write() as connection:
        rows = [row | {"id": 1000 + n, "seq": n} for n in range(1200)]
        connection.execute(jobs.insert(), rows)
    here.queues.delete_jobs(ROOT, "default", ALL_STATUSES)
    assert here.count(jobs) == 0


def test_only_a_superuser_says_as_whom_a_queues_jobs_run(here):
    manager = user(Right.MANAGE_QUEUES)
    with pytest.raises(NotPermitted, match="SuperUser"):
        here.queues.change(manager, "default", {"run_as": "render"})
    here.queues.change(ROOT, "default", {"run_as": "render"})
    here.queues.change(manager, "default", {"run_as": "render", "title": "Same"})
    with pytest.raises(NotPermitted, match="SuperUser"):
        here.queues.change(manager, "default", {"run_as": None})
    assert here.queues.get("default")["run_as"] == "render"


def test_jobs_of_another_user_and_a_host_behind_ssh_exclude_each_other(here):
    here.queues.change(ROOT, "default", {"run_as": "render"})
    with pytest.raises(Invalid, match='Jobs on the host "farm" run as its user_name; run_as "render"'):
        here.queues.change(ROOT, "default", {"host_name": "farm"})
    with pytest.raises(Invalid, match="counts on this machine alone"):
        here.jobs.enqueue(ROOT, "default", NewJob(type="command", params={"command": "x"}, host_name="farm"))
    with pytest.raises(Invalid, match="user_name"):
        here.queue("far", run_as="render", host_name="farm")
