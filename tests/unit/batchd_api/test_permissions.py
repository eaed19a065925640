"""What a grant covers."""

import pytest

from batchd_api.errors import NotPermitted
from batchd_api.permissions import DEFAULT_HOST, SUPERUSER, Caller, Grant, Place, Right, allowed

CREATE = Right.CREATE_JOBS
HERE = Place(name=None, by_default=True)


def test_a_superuser_may_do_everything():
    assert all(allowed(SUPERUSER, right) for right in Right)


def test_without_a_grant_nothing_is_allowed():
    assert not any(allowed((), right, queue="a") for right in Right)


def test_a_right_is_not_another_right():
    assert not allowed([Grant(right=Right.VIEW_JOBS)], Right.MANAGE_JOBS, queue="a")


@pytest.mark.parametrize(("granted", "asked", "answer"), [(None, "a", True), (None, None, True)])
def test_an_untied_grant_covers_each_queue(granted, asked, answer):
    assert allowed([Grant(right=Right.VIEW_JOBS, queue_name=granted)], Right.VIEW_JOBS, queue=asked) is answer


@pytest.mark.parametrize(("asked", "answer"), [("a", True), ("b", False), (None, False)])
def test_a_tied_grant_covers_its_queue_and_never_any_queue(asked, answer):
    assert allowed([Grant(right=Right.VIEW_JOBS, queue_name="a")], Right.VIEW_JOBS, queue=asked) is answer


@pytest.mark.parametrize(
    ("host", "place", "answer"),
    [
        (None, HERE, True),
        (None, Place(name="farm"), True),
        (DEFAULT_HOST, HERE, True),
        (DEFAULT_HOST, Place(name="farm", by_default=True), True),
        (DEFAULT_HOST, Place(name="farm"), False),  # chosen by the job or its type
        ("farm", Place(name="farm"), True),
        ("farm", Place(name="farm", by_default=True), True),
        ("farm", Place(name="lab"), False),
        ("farm", HERE, False),
        ("farm", None, False),
    ],
)
def test_creating_is_for_the_effective_host(host, place, answer):
    grants = [Grant(right=CREATE, host_name=host)]
    assert allowed(grants, CREATE, queue="a", job_type="t", place=place) is answer


def test_creating_is_for_the_type():
    grants = [Grant(right=CREATE, type_name="t")]
    assert allowed(grants, CREATE, queue="a", job_type="t", place=HERE)
    assert not allowed(grants, CREATE, queue="a", job_type="u", place=HERE)
    assert not allowed(grants, CREATE, queue="a", place=HERE)  # any type


def test_a_refusal_names_user_right_and_place():
    caller = Caller(name="ann")
    with pytest.raises(NotPermitted, match='"ann" lacks the permission CreateJobs for the queue "a"'):
        caller.require(CREATE, queue="a", job_type="t", place=Place(name="farm"))
