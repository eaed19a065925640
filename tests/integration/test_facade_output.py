"""Output as bytes, and a job followed while it runs."""

import json
import threading

import pytest

from batchd_api.services.outputs import Outputs, StoredOutput
from tests.facade import enqueue

BYTES = bytes(range(256)) * 3


@pytest.fixture
def job(here, root, queue):
    job = enqueue(root, queue)
    here.attempt(job, state="ended", number=1, stdout=[b"first"])
    here.attempt(
        job, state="ended", number=2, stdout=[BYTES[:100], BYTES[100:300], BYTES[300:]], stderr=[b"e"]
    )
    here.set_job(job, status="Done")
    return job


def test_output_is_byte_for_byte_of_the_latest_execution_or_another(root, job):
    answer = root.get(f"/job/{job}/output")
    assert (answer.status_code, answer.content, answer.headers["x-attempt"]) == (200, BYTES, "2")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert root.get(f"/job/{job}/output?stream=stderr").content == b"e"
    assert root.get(f"/job/{job}/output?attempt=1&offset=2").content == b"rst"
    assert root.get(f"/job/{job}/output?offset=99999").content == b""


@pytest.mark.parametrize(
    ("header", "begin", "end"),
    [("bytes=0-0", 0, 1), ("bytes=90-310", 90, 311), ("bytes=700-", 700, 768), ("bytes=-5", 763, 768),
     ("bytes=760-9999", 760, 768)],
)  # fmt: skip
def test_a_range_is_answered_in_part(root, job, header, begin, end):
    answer = root.get(f"/job/{job}/output", headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, BYTES[begin:end])
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/768"


def test_a_range_past_the_end_is_416_and_one_that_is_none_is_ignored(root, job):
    answer = root.get(f"/job/{job}/output", headers={"Range": "bytes=768-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */768")
    for header in ("bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "x"):
        assert root.get(f"/job/{job}/output", headers={"Range": header}).content == BYTES


@pytest.mark.parametrize(
    ("query", "code"),
    [("stream=out", 400), ("attempt=0", 400), ("attempt=9", 404), ("offset=-1", 400), ("offset=x", 400)],
)
def test_output_that_is_not_there_is_said_so(root, job, query, code):
    assert root.get(f"/job/{job}/output?{query}").status_code == code


def test_a_range_takes_nothing_from_the_rows_behind_it(here, job):
    outputs = Outputs(here.ground)
    found = StoredOutput(job_id=job, attempt=2, stream="stdout", size_bytes=len(BYTES))
    assert b"".join(outputs.pieces(found, 0, 1)) == BYTES[:1]


def events(answer):
    found, one = [], {}
    for line in answer.iter_lines():
        if not line:
            found.append((one["event"], json.loads(one["data"]), one["id"]))
            one = {}
        elif not line.startswith(":"):
            key, _, value = line.partition(": ")
            one[key] = value
    return found


def texts(found, stream="stdout"):
    return "".join(data["text"] for kind, data, _ in found if kind == "output" and data["stream"] == stream)


def test_a_job_is_followed_from_its_beginning_to_its_end(here, root, queue):
    job = enqueue(root, queue)
    here.attempt(job, stdout=["one ä".encode()[:-1]])
    here.set_job(job, status="Processing")
    found = []

    def listen():
        with root.stream("GET", f"/job/{job}/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            found.extend(events(answer))

    listener = threading.Thread(target=listen)
    listener.start()
    here.write(job, "stdout", "ä two".encode()[1:])
    here.write(job, "stderr", b"oh")
    with here.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE attempts SET state='ended', exit_code=0 WHERE job_id={job}")
    here.set_job(job, status="Done")
    listener.join(60)
    assert not listener.is_alive()
    assert (texts(found), texts(found, "stderr")) == ("one ä two", "oh")
    assert [kind for kind, _, _ in found][-2:] == ["status", "end"]
    assert found[-2][1] == {"status": "Done", "exit_code": 0, "reason": None, "attempt": 1}


def test_a_listener_goes_on_behind_any_event(here, root, queue):
    job = enqueue(root, queue)
    text = "aäö€😀b" * 5
    here.attempt(job, state="ended", stdout=[bytes([byte]) for byte in text.encode()], stderr=[b"oh"])
    here.set_job(job, status="Done")
    with root.stream("GET", f"/job/{job}/stream") as answer:
        whole = events(answer)
    assert texts(whole) == text
    for place, (_, _, event_id) in enumerate(whole[:-1]):
        with root.stream("GET", f"/job/{job}/stream", headers={"Last-Event-ID": event_id}) as answer:
            assert texts(whole[: place + 1]) + texts(events(answer)) == text


def test_the_stream_of_a_job_that_is_deleted_ends(here, root, queue):
    job = enqueue(root, queue)
    with root.stream("GET", f"/job/{job}/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: status"
        root.delete(f"/job/{job}").raise_for_status()
        assert "event: end" in list(lines)
