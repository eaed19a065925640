"""What clients send, field by field."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_api.errors import Invalid
from batchd_api.schemas import (
    ALL_STATUSES,
    JobChange,
    Priority,
    checked_name,
    job_change,
    new_job,
    new_queue,
    new_schedule,
    parse_flag,
    parse_statuses,
    queue_change,
)
from batchd_api.statuses import JobStatus
from batchd_api.times import format_time, parse_time

MOMENT = datetime(2026, 11, 24, 3, 1, 43, 544300, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T03:01:43.544300Z",
        "2026-11-24T03:01:43.5443Z",
        "2026-11-24T03:01:43.544300000000Z",
        "2026-11-24T04:01:43.544300+01:00",
        "2026-11-24 03:01:43.544300Z",
    ],
)
def test_a_time_is_read_in_each_form_that_clients_send(text):
    assert parse_time(text) == MOMENT


def test_a_time_without_fraction_is_read():
    assert parse_time("2028-02-29T22:00:00Z") == datetime(2028, 2, 29, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-24", "2026-11-24T22:00:00", "2026-02-29T22:00:00Z", "2026-11-24T24:30:00Z",
     "9999-12-31T23:59:59-14:00", "٢٠٢٦-11-24T22:00:00Z", "2026-11-24T22:00:00Z\n", "2026-11-24T22:00:60Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Invalid):
        parse_time(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_that_we_write_is_one_that_we_read(moment):
    text = format_time(moment)
    assert len(text) == len("2026-11-24T03:01:43.544300Z")
    assert parse_time(text) == moment


def test_times_are_written_in_utc():
    assert format_time(MOMENT.astimezone(timezone(timedelta(hours=5)))) == "2026-11-24T03:01:43.544300Z"


@pytest.mark.parametrize("name", ["night", "Nacht 2", "очередь", "a.b_c@d+e-f", "हिन्दी", "x" * 64, "2"])
def test_names_are_letters_digits_and_some_marks(name):
    assert checked_name("queue", name) == name


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "a\0b", "x" * 65, "x" * 300, "🎉", "a.", "CON", "nul.txt", "-rf", ".x", " x", "x ",
     "a\nb", "a\x1b[2J", "%2e%2e%2f", "a:b", "\ud800", "a\u200bb"],
)  # fmt: skip
def test_names_that_could_be_taken_for_something_else_are_refused(name):
    with pytest.raises(Invalid):
        checked_name("queue", name)


@pytest.mark.parametrize("text", ["New", "new", "NEW"])
def test_statuses_are_accepted_in_either_spelling(text):
    assert parse_statuses(text, default=()) == (JobStatus.NEW,)


def test_all_is_every_status_and_rubbish_is_none():
    assert parse_statuses("all", default=()) == ALL_STATUSES
    assert parse_statuses(None, default=(JobStatus.NEW,)) == (JobStatus.NEW,)
    with pytest.raises(Invalid, match="Postponed"):
        parse_statuses("rubbish", default=())


def test_a_flag_is_true_or_false():
    assert [parse_flag("forced", text) for text in (None, "true", "TRUE", "false")] == [
        False,
        True,
        True,
        False,
    ]
    with pytest.raises(Invalid):
        parse_flag("forced", "yes")


def test_a_new_job_needs_only_its_type_and_null_is_absent():
    body = dict.fromkeys(("params", "host_name", "start_time", "notes", "status", "seq"))
    assert new_job({"type": "command"}) == new_job({"type": "command", **body})


def test_what_only_the_server_says_of_a_new_job_is_not_even_looked_at():
    ignored = {"id": "x", "queue": 1, "seq": [], "user_name": "root", "create_time": 5,
               "try_count": -1_000_000, "result_time": 1, "exit_code": "x", "stdout": {},
               "stderr": "\ud800"}  # fmt: skip
    assert new_job({"type": "command", **ignored}) == new_job({"type": "command"})


@pytest.mark.parametrize(
    "body",
    [{}, {"type": None}, {"type": 5}, {"type": "t", "params": []}, {"type": "t", "status": "Done"},
     {"type": "t", "status": "rubbish"}, {"type": "t", "notes": 5}, {"type": "t", "notes": "a\0"},
     {"type": "t", "notes": "\ud800"}, {"type": "t", "start_time": "later"}, {"type": "t", "host_name": []}],
)  # fmt: skip
def test_a_bad_field_of_a_new_job_is_refused(body):
    with pytest.raises(Invalid):
        new_job(body)


def test_the_queues_default_host_is_no_host():
    assert new_job({"type": "t", "host_name": "__default__"}).host_name is None


def test_in_a_change_null_clears_only_notes_and_start_time():
    body = dict.fromkeys(("notes", "start_time", "host_name", "status", "priority", "move", "params"))
    assert job_change(body) == JobChange(values={"notes": None, "start_time": None})


def test_a_star_clears_the_host():
    assert job_change({"host_name": "*"}).values == {"host_name": None}
    assert queue_change({"host_name": "*"}) == {"host_name": None}


def test_a_queue_name_in_a_change_means_move():
    assert job_change({"queue_name": "b"}).move_to == job_change({"move": "b"}).move_to == "b"


def test_a_priority_is_one_of_four():
    assert job_change({"priority": "FIRST"}).priority is Priority.FIRST
    with pytest.raises(Invalid):
        job_change({"priority": "highest"})


def test_a_new_queue_needs_only_a_name():
    queue = new_queue({"name": "night"})
    assert (queue.title, queue.enabled, queue.schedule_name, queue.host_name) == (
        "night",
        True,
        "anytime",
        None,
    )


def test_an_empty_change_of_a_queue_changes_nothing():
    nulls = dict.fromkeys(("title", "enabled", "schedule_name", "host_name", "max_jobs"))
    assert queue_change({}) == queue_change(nulls) == {}


def test_a_queues_counts_can_be_cleared():
    assert queue_change({"autostart_job_count": None}) == {"autostart_job_count": None}
    assert queue_change({"max_jobs": 0}) == {"max_jobs": None}


@pytest.mark.parametrize("value", [0, -1, 2**31, 1.5, "3", True, []])
def test_a_count_is_a_positive_whole_number(value):
    with pytest.raises(Invalid, match="autostart_job_count"):
        queue_change({"autostart_job_count": value})


@pytest.mark.parametrize("value", ["yes", 1, 0, []])
def test_enabled_is_true_or_false(value):
    with pytest.raises(Invalid, match="enabled"):
        queue_change({"enabled": value})


@pytest.mark.parametrize(
    "fields",
    [{"weekdays": "Monday"}, {"weekdays": [1]}, {"time": {}}, {"time": ["22:00"]}, {"time": [{"begin": "1"}]},
     {"time": [{"begin": 1, "end": 2}]}],
)  # fmt: skip
def test_a_schedule_of_the_wrong_shape_is_refused(fields):
    with pytest.raises(Invalid):
        new_schedule({"name": "night", **fields})
