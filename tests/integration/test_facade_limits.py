"""A job's own limits over HTTP, and output that was cut as its readers see it."""

import pytest

from batchd_api.recorder import CUT_SENTENCE, Recorder
from batchd_api.services.follow import Follower, Place
from batchd_flows.job_types import OnFail
from batchd_flows.run import Outcome
from tests.facade import enqueue
from tests.ground import NOW


def test_limits_given_at_enqueue_stand_in_the_record(root, queue):
    body = {"type": "command", "params": {"command": "true"}, "timeout": "2h", "silence": 90,
            "kill_after": 0, "output_limit": "500M"}  # fmt: skip
    job = root.post(f"/queue/{queue}", json=body).json()
    record = root.get(f"/job/{job}").json()
    assert [record[key] for key in ("timeout", "silence", "kill_after", "output_limit")] == [
        7200, 90, 0, 500 * 2**20,
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["timeout", "silence", "kill_after", "output_limit"])
def test_a_limit_that_is_none_is_refused_and_nothing_is_enqueued(root, queue, key):
    answer = root.post(f"/queue/{queue}", json={"type": "command", key: "soon"})
    assert (answer.status_code, answer.text.startswith(f'"{key}" must be')) == (400, True)
    assert root.get(f"/queue/{queue}/jobs?status=all").json() == []


@pytest.fixture
def cut(here, root, queue):
    """A job whose output was cut while it ran; it has ended well."""
    job = enqueue(root, queue)
    here.attempt(job, stdout=[b"one\ntw"], stderr=[b"oh\n"])
    recorder = Recorder(here.database)
    (attempt,) = recorder.alive("d")
    recorder.cut(attempt, NOW)
    recorder.ended(attempt, Outcome(exit_code=0, output_cut=True), OnFail(), NOW)
    return job


def test_b4_the_results_of_cut_output_have_a_line_that_says_so_before_the_exit(root, cut):
    records = root.get(f"/job/{cut}/results").json()
    said = CUT_SENTENCE.strip()
    lines = [(record["stdout"], record["stderr"], record["exit_code"]) for record in records]
    assert sorted(lines[:-1]) == sorted(
        [("one", "", None), ("tw", "", None), ("", "oh", None), ("", said, None)]
    )
    assert lines[-1] == ("", "", 0)
    assert root.get(f"/job/{cut}/results/last").json()["exit_code"] == 0


def test_b4_the_bytes_of_cut_output_are_the_commands_alone_and_a_header_says_so(root, cut):
    answer = root.get(f"/job/{cut}/output")
    assert (answer.content, answer.headers["x-output-cut"]) == (b"one\ntw", "true")
    record = root.get(f"/job/{cut}").json()
    assert (record["output_cut"], record["stdout"], record["stderr"]) == (True, "one\ntw", "oh\n")


def test_whole_output_says_nothing_of_the_kind(here, root, queue):
    job = enqueue(root, queue)
    here.attempt(job, state="ended", stdout=[b"one\n"])
    assert "x-output-cut" not in root.get(f"/job/{job}/output").headers
    assert root.get(f"/job/{job}").json()["output_cut"] is False


def test_b4_who_follows_a_job_is_told_when_its_output_is_cut(here, cut):
    events = Follower(here.ground).look(cut, Place())
    assert [event.data for event in events if event.kind == "note"] == [{"attempt": 1, "text": CUT_SENTENCE}]
    assert [event.kind for event in events] == ["output", "output", "note", "status", "end"]
    after = Follower(here.ground).place(cut, events[2].id)
    assert [event.kind for event in Follower(here.ground).look(cut, after)] == ["status", "end"]
