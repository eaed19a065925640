"""One record a line, wherever the chunks were cut."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchd_api.errors import JobNotFound, ResultNotFound
from batchd_api.services.results import LINE_LIMIT_BYTES, Results
from tests.ground import NOW


def texts(records):
    return [(record["stdout"], record["stderr"], record["exit_code"]) for record in records]


@pytest.fixture
def results(here):
    return Results(here.ground)


def test_an_ended_execution_is_its_lines_and_then_its_exit_code(here, results):
    job = here.enqueue()
    here.attempt(job, state="ended", exit_code=3, stdout=[b"one\ntwo\n"], stderr=[b"oh\n"])
    expected = [("one", "", None), ("two", "", None), ("", "oh", None), ("", "", 3)]
    assert texts(results.all(job)) == expected


def test_a_record_has_these_keys(here, results):
    job = here.enqueue()
    here.attempt(job, stdout=[b"x\n"])
    expected = {
        "job_id": job,
        "time": "2026-11-24T12:00:00.000000Z",
        "exit_code": None,
        "stdout": "x",
        "stderr": "",
    }
    assert list(results.all(job)) == [expected]


def test_chunks_may_cut_lines_and_characters(here, results):
    job = here.enqueue()
    here.attempt(job, stdout=[b"\xc3", b"\xa4b", b"c\nd", b"\n"])
    assert texts(results.all(job)) == [("äbc", "", None), ("d", "", None)]


def test_a_line_that_has_not_ended_is_shown_as_far_as_it_is(here, results):
    job = here.enqueue()
    here.attempt(job, stdout=[b"one\ntw"])
    assert texts(results.all(job)) == [("one", "", None), ("tw", "", None)]


def test_streams_do_not_mix_and_stay_in_time_order(here, results):
    job = here.enqueue()
    here.attempt(job, state="ended")
    for seconds, stream, data in (
        (1, "stdout", b"a"),
        (2, "stderr", b"x\n"),
        (3, "stdout", b"b\n"),
        (4, "stderr", b"y"),
    ):
        here.write(job, stream, data, time=NOW + timedelta(seconds=seconds))
    assert texts(results.all(job))[:3] == [("", "x", None), ("ab", "", None), ("", "y", None)]


def test_empty_lines_and_carriage_returns_are_kept(here, results):
    job = here.enqueue()
    here.attempt(job, stdout=[b"\n\na\r\n"])
    assert texts(results.all(job)) == [("", "", None), ("", "", None), ("a\r", "", None)]


def test_bytes_that_are_no_text_are_readable(here, results):
    job = here.enqueue()
    here.attempt(job, stdout=[b"\xff\x00\x1b[1m\n"])
    assert texts(results.all(job)) == [("\ufffd\x00\x1b[1m", "", None)]


def test_executions_come_in_order_and_an_unknown_exit_code_is_null(here, results):
    job = here.enqueue()
    here.attempt(job, state="ended", number=1, exit_code=None, stdout=[b"a\n"])
    here.attempt(job, state="ended", number=2, exit_code=0, stdout=[b"b\n"])
    assert texts(results.all(job)) == [("a", "", None), ("", "", None), ("b", "", None), ("", "", 0)]


def test_a_line_past_the_limit_is_cut_between_characters(here, results):
    job = here.enqueue()
    line = "ä" * LINE_LIMIT_BYTES
    data = b"." + line.encode() + b"\nend\n"
    here.attempt(job, stdout=[data[i : i + 65_536] for i in range(0, len(data), 65_536)])
    found = [record["stdout"] for record in results.all(job)]
    assert "".join(found[:-1]) == "." + line
    assert found[-1] == "end"
    assert len(found) == 4


def test_more_rows_than_are_read_at_once_are_all_there(here, results):
    job = here.enqueue()
    here.attempt(job, stdout=[f"{n}\n".encode() for n in range(200)])
    assert [record["stdout"] for record in results.all(job)] == [str(n) for n in range(200)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_whatever_the_cuts_the_lines_are_the_same(here, data, cuts):
    places = sorted({0, len(data), *(cut for cut in cuts if cut <= len(data))})
    chunks = [data[a:b] for a, b in pairwise(places)]
    job = here.enqueue()
    here.attempt(job, stdout=chunks)
    lines = data.split(b"\n")
    expected = lines if lines[-1] else lines[:-1]
    found = [record["stdout"] for record in Results(here.ground).all(job)]
    assert found == [line.decode(errors="replace") for line in expected]


def test_the_last_record_of_an_ended_execution_is_its_exit(here, results):
    job = here.enqueue()
    here.attempt(job, state="ended", exit_code=5, stdout=[b"x\n"])
    assert texts([results.last(job)]) == [("", "", 5)]


@pytest.mark.parametrize(
    ("chunks", "line"),
    [([b"one\ntwo\n"], "two"), ([b"one\ntw", b"o"], "two"), ([b"o", b"ne"], "one"), ([b"\n"], "")],
)
def test_the_last_record_of_a_running_one_is_the_line_it_is_at(here, results, chunks, line):
    job = here.enqueue()
    here.attempt(job, stdout=chunks)
    assert results.last(job)["stdout"] == line


def test_a_silent_second_try_shows_the_first_ones_end(here, results):
    job = here.enqueue()
    here.attempt(job, state="ended", number=1, exit_code=9)
    here.attempt(job, number=2)
    assert results.last(job)["exit_code"] == 9


def test_a_job_that_never_ran_has_no_results(here, results):
    job = here.enqueue()
    assert list(results.all(job)) == []
    with pytest.raises(ResultNotFound):
        results.last(job)


def test_an_unknown_job_is_not_found_before_anything_is_sent(results):
    with pytest.raises(JobNotFound):
        results.all(99)
