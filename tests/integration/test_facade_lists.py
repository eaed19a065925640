"""What a page asks of lists: several statuses, the last first, no output; places; who asks."""

from __future__ import annotations

import pytest

from batchd_api.permissions import Grant, Right
from batchd_api.services.users import grant
from tests.facade import enqueue, is_sentence


@pytest.fixture
def jobs(root, here, queue):
    """Four of one queue; the second is Done and has said something."""
    found = [enqueue(root, queue) for _ in range(4)]
    here.attempt(found[1], state="ended", stdout=[b"hello\n"])
    here.set_job(found[1], status="Done")
    return found


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()]


def test_several_statuses_are_one_list_in_order(root, here, queue, jobs):
    here.set_job(jobs[2], status="Postponed")
    assert ids(root.get(f"/queue/{queue}/jobs?status=new,postponed")) == [jobs[0], jobs[2], jobs[3]]
    assert ids(root.get(f"/queue/{queue}/jobs?status=done,Postponed")) == [jobs[1], jobs[2]]
    answer = root.get(f"/queue/{queue}/jobs?status=done,gone")
    assert answer.status_code == 400
    assert '"gone"' in answer.text


def test_the_last_first_page_by_page(root, queue, jobs):
    path = f"/queue/{queue}/jobs?status=all&backwards=true&limit=2"
    assert ids(root.get(path)) == jobs[:1:-1]
    assert ids(root.get(f"{path}&after={jobs[2]}")) == jobs[1::-1]
    own = [job for job in ids(root.get("/jobs?status=all&backwards=true")) if job in jobs]
    assert own == jobs[::-1]


def test_a_list_without_output_is_the_same_list(root, queue, jobs):
    path = f"/queue/{queue}/jobs?status=done"
    (whole,), (bare,) = root.get(path).json(), root.get(f"{path}&tail=0").json()
    assert whole["stdout"] == "hello\n"
    assert root.get(f"{path}&tail=3").json()[0]["stdout"] == "lo\n"
    assert bare["stdout"] == ""
    assert bare | {"stdout": 0, "result_time": 0} == whole | {"stdout": 0, "result_time": 0}


def test_a_job_is_put_beside_another(root, queue, jobs):
    first, _, third, last = jobs
    assert root.put(f"/job/{last}", json={"before": first}).json() == "done"
    assert root.put(f"/job/{first}", json={"after": third}).json() == "done"
    assert ids(root.get(f"/queue/{queue}/jobs")) == [last, third, first]
    for body in ({"before": third, "after": last}, {"before": "x"}, {"before": 10**6}):
        answer = root.put(f"/job/{first}", json=body)
        assert answer.status_code == 400
        assert is_sentence(answer)


def test_who_asks_is_told_what_they_may_do(facade, here, root):
    facade.users.create("seer", "secret")
    with here.database.write() as connection:
        grant(connection, "seer", Grant(right=Right.VIEW_JOBS, queue_name="default"))
    with facade.client("seer") as seer:
        assert seer.get("/whoami").json() == {
            "name": "seer",
            "permissions": [
                {"permission": "ViewJobs", "queue_name": "default", "type_name": None, "host_name": None}
            ],
        }
    assert [p["permission"] for p in root.get("/whoami").json()["permissions"]] == ["SuperUser"]
