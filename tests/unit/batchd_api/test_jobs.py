"""Jobs: what enqueueing checks and writes."""

from datetime import timedelta

import pytest

from batchd_api.errors import (
    Invalid,
    JobNotFound,
    NotPermitted,
    QueueNotFound,
    StartOutsideSchedule,
    UnknownInBody,
)
from batchd_api.permissions import DEFAULT_HOST, Right
from batchd_api.statuses import JobStatus
from tests.ground import NOW, ROOT, statements, user

CREATE = Right.CREATE_JOBS


def test_jobs_get_increasing_places_in_their_own_queue(here):
    here.queue("night")
    ids = [here.enqueue(), here.enqueue("night"), here.enqueue()]
    assert [here.row(one).seq for one in ids] == [1, 1, 2]
    assert ids == sorted(set(ids))


def test_a_new_job_belongs_to_its_caller_and_is_new(here):
    row = here.row(here.enqueue(by=user(CREATE), notes="n", params={"command": "ls"}))
    assert (row.user_name, row.status, row.try_count, row.notes) == ("ann", "New", 0, "n")
    assert row.params == {"command": "ls"}
    assert row.version != row.mirrored


def test_an_enqueue_says_so_after_its_commit(here):
    before = here.changes
    here.enqueue()
    assert here.changes == before + 1


def test_params_are_kept_as_given_undeclared_ones_too(here):
    row = here.row(here.enqueue(type="render", params={"frames": 5, "extra": "x", "input": None}))
    assert row.params == {"frames": "5", "extra": "x"}


def test_a_bad_parameter_is_named(here):
    for value in ("1e3", "0x1F", " 7 ", "x", True, 1.5):
        with pytest.raises(Invalid, match="frames"):
            here.enqueue(type="render", params={"frames": value})


@pytest.mark.parametrize("fields", [{"type": "gone"}, {"host_name": "gone"}, {"type": "../../etc/passwd"}])
def test_an_unknown_type_or_host_is_refused(here, fields):
    with pytest.raises(UnknownInBody):
        here.enqueue(**fields)


def test_an_unknown_queue_is_not_found(here):
    with pytest.raises(QueueNotFound):
        here.enqueue("gone")


@pytest.fixture
def night(here):
    here.schedule("night", "22:00:00", "06:00:00")
    return here.queue("night", schedule_name="night")


def test_a_start_time_outside_the_schedule_is_refused(here, night):
    with pytest.raises(StartOutsideSchedule, match=r"2026-11-25 12:00 .* opens next at 2026-11-25 22:00"):
        here.enqueue(night, start_time=NOW + timedelta(days=1))
    here.enqueue(night, start_time=NOW + timedelta(hours=12))


def test_a_start_time_in_the_past_means_now_and_is_accepted(here, night):
    here.enqueue(night, start_time=NOW - timedelta(days=1))


def test_enough_new_jobs_enable_a_queue_with_autostart(here):
    here.queue("lazy", enabled=False, autostart_job_count=2)
    here.enqueue("lazy", status=JobStatus.POSTPONED)
    here.enqueue("lazy")
    assert not here.queues.get("lazy")["enabled"]
    here.enqueue("lazy")
    assert here.queues.get("lazy")["enabled"]


def test_a_disabled_queue_without_autostart_stays_disabled(here):
    here.queue("off", enabled=False)
    here.enqueue("off")
    assert not here.queues.get("off")["enabled"]


@pytest.mark.parametrize(
    ("ties", "fields", "ok"),
    [
        ({}, {}, True),
        ({"queue_name": "default"}, {}, True),
        ({"queue_name": "other"}, {}, False),
        ({"type_name": "command"}, {}, True),
        ({"type_name": "render"}, {}, False),
        ({"host_name": "farm"}, {}, False),
        ({"host_name": "farm"}, {"host_name": "farm"}, True),
        ({"host_name": "farm"}, {"type": "farmed"}, True),
        ({"host_name": DEFAULT_HOST}, {}, True),
        ({"host_name": DEFAULT_HOST}, {"host_name": "farm"}, False),
        ({"host_name": DEFAULT_HOST}, {"type": "farmed"}, False),  # the type chose the host
    ],
)
def test_creating_needs_the_right_for_queue_type_and_effective_host(here, ties, fields, ok):
    if ok:
        here.enqueue(by=user(CREATE, **ties), **fields)
    else:
        with pytest.raises(NotPermitted):
            here.enqueue(by=user(CREATE, **ties), **fields)


@pytest.mark.parametrize("job_id", [0, -1, 2**62])
def test_an_unknown_job_is_not_found(here, job_id):
    for call in (here.jobs.get, here.jobs.queue_of, lambda j: here.jobs.delete(ROOT, j)):
        with pytest.raises(JobNotFound):
            call(job_id)


def test_an_enqueue_takes_as_many_statements_in_a_long_queue_as_in_an_empty_one(here):
    here.queue("long")
    for _ in range(30):
        here.enqueue("long")
    with statements(here) as empty:
        here.enqueue()
    with statements(here) as long:
        here.enqueue("long")
    assert empty == long
    assert len(empty) <= 5
