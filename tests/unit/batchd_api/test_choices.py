"""What a caller may choose for a new job, and the figures of /stats."""

import pytest

from batchd_api.errors import NotFound, QueueNotFound
from batchd_api.permissions import DEFAULT_HOST, Right
from batchd_api.services.choices import Choices
from batchd_api.services.stats import Stats
from tests.ground import ROOT, user

CREATE = Right.CREATE_JOBS


@pytest.fixture
def choices(here):
    return Choices(here.ground, here.queues)


def test_a_superuser_may_choose_everything(choices):
    assert [t["name"] for t in choices.types_in(ROOT, "default")] == ["command", "farmed", "render"]
    assert choices.hosts_in(ROOT, "default") == [DEFAULT_HOST, "farm", "lab"]


@pytest.mark.parametrize(
    ("ties", "types", "hosts"),
    [
        ({"type_name": "render"}, ["render"], [DEFAULT_HOST, "farm", "lab"]),
        ({"host_name": "lab"}, ["command", "farmed", "render"], ["lab"]),
        ({"host_name": "farm"}, ["command", "farmed", "render"], [DEFAULT_HOST, "farm"]),
        ({"host_name": DEFAULT_HOST}, ["command", "render"], [DEFAULT_HOST]),
        ({"queue_name": "other"}, [], []),
    ],
)
def test_grants_narrow_the_choice(choices, ties, types, hosts):
    caller = user(CREATE, **ties)
    assert [t["name"] for t in choices.types_in(caller, "default")] == types
    assert choices.hosts_in(caller, "default") == hosts


def test_hosts_are_asked_for_one_type_too(choices):
    assert choices.hosts_for(user(CREATE, host_name=DEFAULT_HOST), "default", "farmed") == []
    assert choices.hosts_for(user(CREATE, host_name=DEFAULT_HOST), "default", "render") == [DEFAULT_HOST]


def test_what_is_offered_can_be_enqueued(here, choices):
    for ties in ({"host_name": "farm"}, {"host_name": DEFAULT_HOST}, {"type_name": "render"}, {}):
        caller = user(CREATE, **ties)
        for job_type in choices.types_in(caller, "default"):
            for host in choices.hosts_for(caller, "default", job_type["name"]):
                chosen = None if host == DEFAULT_HOST else host
                here.enqueue(by=caller, type=job_type["name"], host_name=chosen)


def test_unknown_names_are_not_found(choices):
    with pytest.raises(NotFound):
        choices.type("../command")
    with pytest.raises(NotFound):
        choices.hosts_for(ROOT, "default", "gone")
    with pytest.raises(QueueNotFound):
        choices.types_in(ROOT, "gone")


def test_statistics_have_only_statuses_that_occur(here):
    here.queue("empty")
    done, _new = here.enqueue(), here.enqueue()
    here.set_job(done, status="Done")
    stats = Stats(here.ground)
    assert stats.all() == {"default": {"done": 1, "new": 1}}
    assert stats.of_queue("default") == {"done": 1, "new": 1}
    assert stats.of_queue("empty") == {}
    with pytest.raises(QueueNotFound):
        stats.of_queue("gone")
