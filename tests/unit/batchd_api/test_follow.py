"""A job followed, look by look."""

from datetime import timedelta

import pytest

from batchd_api.errors import TooManyListeners
from batchd_api.services.follow import MAX_LISTENERS, STATUS_AGAIN, Follower, Place
from tests.ground import statements


@pytest.fixture
def follower(here):
    return Follower(here.ground)


def outputs(events):
    return [(event.data["stream"], event.data["offset"], event.data["text"]) for event in events
            if event.kind == "output"]  # fmt: skip


def statuses(events):
    return [event.data for event in events if event.kind == "status"]


def test_offsets_count_bytes_from_the_first_of_each_text(here, follower):
    job = here.enqueue()
    here.attempt(job, stdout=["ä€".encode()[:3], "ä€x".encode()[3:]], stderr=[b"oh"])
    assert outputs(follower.look(job, Place())) == [
        ("stdout", 0, "ä"),
        ("stdout", 2, "€x"),
        ("stderr", 0, "oh"),
    ]


def test_half_a_character_at_the_end_of_an_execution_is_shown_as_what_cannot_be_read(here, follower):
    job, place = here.enqueue(), Place()
    here.attempt(job, state="ended", stdout=[b"a\xe2\x82"])
    here.attempt(job, state="ended", number=2, stdout=[b"b\xc3"])
    here.set_job(job, status="Done")
    events = follower.look(job, place)
    assert [event.data["attempt"] for event in events if event.kind == "output"] == [1, 1, 2, 2]
    assert outputs(events) == [
        ("stdout", 0, "a"),
        ("stdout", 1, "\ufffd"),
        ("stdout", 0, "b"),
        ("stdout", 1, "\ufffd"),
    ]
    assert place.ended


def test_a_listener_goes_on_inside_a_character_that_came_byte_by_byte(here, follower):
    job, euro = here.enqueue(), "€".encode()
    here.attempt(job, stdout=[b"x", euro[:1], euro[1:2]], stderr=[b"oh"])
    (last_id,) = [event.id for event in follower.look(job, Place()) if event.data.get("stream") == "stderr"]
    here.write(job, "stdout", euro[2:])
    assert outputs(follower.look(job, follower.place(job, last_id))) == [("stdout", 1, "€")]


def test_an_idle_look_costs_one_short_statement(here, follower):
    for _ in range(3):
        job = here.enqueue()
    here.dispatcher()
    place = Place()
    follower.look(job, place)
    with statements(here) as said:
        assert follower.look(job, place) == []
    assert len([statement for statement in said if statement.startswith("SELECT")]) == 1


def test_a_place_in_the_queue_is_told_when_it_has_changed(here, follower):
    first, second, place = here.enqueue(), here.enqueue(), Place()
    here.dispatcher()
    assert statuses(follower.look(second, place))[0]["reason"]["text"] == "2 of 2 in queue default"
    here.set_job(first, status="Done")
    here.now += STATUS_AGAIN + timedelta(seconds=1)
    here.dispatcher()
    assert statuses(follower.look(second, place))[0]["reason"]["text"] == "1 of 1 in queue default"


def test_there_is_an_end_to_how_many_may_listen(follower):
    for _ in range(MAX_LISTENERS):
        follower.enter()
    with pytest.raises(TooManyListeners):
        follower.enter()
    follower.leave()
    follower.enter()
