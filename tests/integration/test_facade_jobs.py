"""Lists by pages and filters, cancelling, dry runs and changed schedules, over HTTP."""

import json
from datetime import timedelta
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.facade import enqueue, is_sentence

ODD_NAMES = ["../x", "a/b", "..%2f", "\0", "x" * 300, "😀", "x.", "CON", "-rf", "..", "."]


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json()]


def test_pages_put_together_are_the_whole_list_in_its_order(root, queue):
    made = [enqueue(root, queue) for _ in range(7)]
    root.put(f"/job/{made[-1]}", json={"priority": "first"}).raise_for_status()
    whole = ids(root.get(f"/queue/{queue}/jobs"))
    for path, expected in ((f"/queue/{queue}/jobs", whole), ("/jobs", ids(root.get("/jobs")))):
        found, query = [], {"limit": "3"}
        while page := ids(root.get(path, params=query)):
            assert len(page) <= 3
            found += page
            query["after"] = str(page[-1])
        assert found == expected


def test_the_filters_choose(here, root, queue):
    first = enqueue(root, queue, type="render", params={"input": "x"})
    here.now += timedelta(hours=1)
    second = enqueue(root, queue, host_name="farm")
    path = f"/queue/{queue}/jobs"
    assert ids(root.get(path, params={"type": "render"})) == [first]
    assert ids(root.get(path, params={"host": "farm"})) == [second]
    assert ids(root.get(path, params={"user": "root"})) == [first, second]
    assert ids(root.get(path, params={"user": "nobody"})) == []
    since = root.get(f"/job/{second}").json()["create_time"]
    assert ids(root.get(path, params={"since": since})) == [second]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "after=x", "since=soon", "status=odd"])
def test_a_bad_filter_is_400_in_one_sentence(root, queue, query):
    answer = root.get(f"/queue/{queue}/jobs?{query}")
    assert answer.status_code == 400
    assert is_sentence(answer)


def test_a_list_that_has_not_changed_is_304(root, queue):
    enqueue(root, queue)
    mark = root.get(f"/queue/{queue}/jobs").headers["etag"]
    same = root.get(f"/queue/{queue}/jobs", headers={"If-None-Match": f'"old", W/{mark}'})
    assert (same.status_code, same.content) == (304, b"")
    enqueue(root, queue)
    assert root.get(f"/queue/{queue}/jobs", headers={"If-None-Match": mark}).status_code == 200


def test_a_waiting_job_is_cancelled_once_and_says_by_whom(root, queue):
    job = enqueue(root, queue)
    assert root.post(f"/job/{job}/cancel").json() == "done"
    record = root.get(f"/job/{job}").json()
    assert (record["status"], record["reason"]["text"]) == ("Failed", "cancelled by root")
    assert root.post(f"/job/{job}/cancel").status_code == 409


def test_a_dry_run_stores_nothing(root, queue):
    answer = root.post(f"/queue/{queue}?dry_run=true", json={"type": "render", "params": {"input": "x"}})
    assert set(answer.json()) == {"command", "host", "files", "window_opens", "earliest_start"}
    assert ids(root.get(f"/queue/{queue}/jobs")) == []


def test_a_working_directory_is_kept_and_must_be_whole(root, queue):
    job = enqueue(root, queue, working_directory="/data")
    assert root.get(f"/job/{job}").json()["working_directory"] == "/data"
    assert root.put(f"/job/{job}", json={"working_directory": "/other"}).json() == "done"
    assert root.get(f"/job/{job}").json()["working_directory"] == "/other"
    assert root.put(f"/job/{job}", json={"working_directory": "here"}).status_code == 400


def test_a_schedule_is_changed_and_shows_its_openings(root, queue):
    root.post("/schedule", json={"name": f"s {queue}"}).raise_for_status()
    path = f"/schedule/s {queue}"
    assert root.put(path, json={"time": [{"begin": "22:00:00", "end": "06:00:00"}]}).json() == "done"
    assert len(root.get(f"{path}/openings?count=3").json()) == 3
    assert root.get(f"{path}/openings?count=0").status_code == 400
    assert root.put(path, json={"weekdays": []}).status_code == 400
    assert root.get("/schedule/gone/openings").status_code == 404


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.one_of(st.sampled_from(ODD_NAMES), st.text(min_size=1, max_size=80)))
def test_f6_any_name_is_made_or_refused_and_never_a_fault(root, name):
    made = root.post("/queue", content=b'{"name": %s}' % _json(name))
    assert made.status_code in (200, 400, 409), made.text
    for path in ("/queue/{}", "/queue/{}/jobs", "/type/{}", "/schedule/{}/openings", "/stats/{}"):
        answer = root.get(path.format(quote(name, safe="", errors="replace")))
        assert answer.status_code in (200, 404, 405), (path, answer.text)
    if made.status_code == 200:
        assert root.delete(f"/queue/{quote(made.json(), safe='')}").status_code == 200


def _json(text):
    return json.dumps(text).encode()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_f6_an_odd_name_is_refused_in_one_sentence(root, name):
    for path in ("/queue", "/schedule"):
        answer = root.post(path, content=_json_name(name))
        assert answer.status_code == 400, name
        assert is_sentence(answer)


def _json_name(name):
    return b'{"name": %s}' % _json(name)
