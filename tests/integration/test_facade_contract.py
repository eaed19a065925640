"""The contract's rows about queues, jobs, schedules, types and hosts, each from its text."""

from __future__ import annotations

import json
import sys
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from batchd_api.permissions import Grant, Right
from batchd_api.services.users import grant
from tests.facade import enqueue

JOB_KEYS = {
    "id", "queue", "type", "seq", "user_name", "create_time", "start_time", "status", "try_count",
    "host_name", "notes", "result_time", "exit_code", "stdout", "stderr", "params"}  # fmt: skip
QUEUE_KEYS = {
    "name", "title", "enabled", "schedule_name", "host_name", "autostart_job_count", "max_jobs"}  # fmt: skip
TYPE_KEYS = {"name", "title", "syntax", "template", "on_fail", "host_name", "max_jobs", "params"}


@pytest.fixture
def user(facade):
    """A client of a new user with these grants."""
    opened = []

    def make(*grants: Grant) -> Any:
        name = f"u{uuid.uuid4().hex}"
        facade.users.create(name, "secret")
        with facade.here.database.write() as connection:
            for given in grants:
                grant(connection, name, given)
        opened.append(facade.client(name))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def may(right: Right, queue: str | None = None, **ties: str) -> Grant:
    return Grant(right=right, queue_name=queue, **ties)


def failed(answer: Any) -> int:
    assert answer.headers["content-type"] == "text/plain; charset=utf-8", answer.text
    return int(answer.status_code)


def test_get_stats_counts_only_statuses_that_occur(here, root, user, queue):
    job = enqueue(root, queue)
    enqueue(root, queue)
    here.set_job(job, status="Done")
    assert root.get("/stats").json()[queue] == {"new": 1, "done": 1}
    assert failed(user(may(Right.MANAGE_JOBS, queue)).get("/stats")) == 403


def test_get_stats_of_a_queue_is_one_such_dictionary(root, user, queue):
    assert root.get(f"/stats/{queue}").json() == {}
    enqueue(root, queue)
    assert user(may(Right.MANAGE_JOBS, queue)).get(f"/stats/{queue}").json() == {"new": 1}


def test_get_queue_lists_those_that_the_user_may_view(user, queue):
    assert user().get("/queue").json() == []
    (record,) = user(may(Right.VIEW_QUEUES, queue)).get("/queue").json()
    assert record["name"] == queue
    assert record.keys() >= QUEUE_KEYS


def test_post_queue_needs_only_a_name_and_answers_it(user):
    name = f"q {uuid.uuid4().hex}"
    client = user(may(Right.MANAGE_QUEUES), may(Right.VIEW_QUEUES))
    assert client.post("/queue", json={"name": name}).json() == name
    record = client.get(f"/queue/{name}").json()
    assert {key: record[key] for key in QUEUE_KEYS} == {
        "name": name, "title": name, "enabled": True, "schedule_name": "anytime", "host_name": None,
        "autostart_job_count": None, "max_jobs": None}  # fmt: skip
    assert failed(client.post("/queue", json={"name": name})) == 409
    assert failed(client.post("/queue", json={"name": "y", "schedule_name": "gone"})) == 400
    assert failed(user(may(Right.MANAGE_QUEUES, "y")).post("/queue", json={"name": "y"})) == 403


def test_put_queue_changes_any_of_its_fields_and_null_clears_only_the_count(root, user, queue):
    client = user(may(Right.MANAGE_QUEUES, queue))
    change = {"title": "T", "enabled": False, "autostart_job_count": 3, "max_jobs": 2, "name": "other"}
    assert client.put(f"/queue/{queue}", json=change).json() == "done"
    assert client.put(f"/queue/{queue}", json=dict.fromkeys(change)).json() == "done"
    record = root.get(f"/queue/{queue}").json()
    assert (record["title"], record["enabled"], record["max_jobs"]) == ("T", False, 2)
    assert (record["autostart_job_count"], record["name"]) == (None, queue)


def test_delete_queue_needs_force_while_it_has_jobs(root, user, queue):
    job = enqueue(root, queue)
    client = user(may(Right.MANAGE_QUEUES, queue))
    assert failed(client.delete(f"/queue/{queue}")) == 403
    assert client.delete(f"/queue/{queue}?forced=true").json() == "done"
    assert failed(root.get(f"/job/{job}")) == 404


def test_delete_queue_with_a_status_deletes_its_jobs_of_that_status_instead(here, root, queue):
    done, new, other = enqueue(root, queue), enqueue(root, queue), enqueue(root, "default")
    for job in (done, other):
        here.set_job(job, status="Done")
    assert root.delete(f"/queue/{queue}?status=done").json() == "done"
    assert [record["id"] for record in root.get(f"/queue/{queue}/jobs?status=all").json()] == [new]
    assert root.delete(f"/queue/{queue}?status=all").json() == "done"
    assert root.get(f"/queue/{queue}/jobs?status=all").json() == []
    assert root.get(f"/job/{other}").status_code == 200


def test_get_the_jobs_of_a_queue_by_seq_and_new_ones_without_a_status(here, root, user, queue):
    first, second, third = (enqueue(root, queue) for _ in range(3))
    root.put(f"/job/{third}", json={"priority": "first"})
    here.set_job(second, status="Failed")
    client = user(may(Right.VIEW_JOBS, queue))
    assert [record["id"] for record in client.get(f"/queue/{queue}/jobs").json()] == [third, first]
    whole = client.get(f"/queue/{queue}/jobs?status=all").json()
    assert [record["id"] for record in whole] == [third, first, second]
    assert whole[0].keys() >= JOB_KEYS
    assert failed(client.get("/queue/default/jobs")) == 403


def test_post_to_a_queue_answers_the_new_id_and_needs_the_right_for_type_and_host(root, user, queue):
    client = user(may(Right.CREATE_JOBS, queue, type_name="command", host_name="__default__"))
    body = {"type": "command", "params": {"command": "true", "n": "1"}, "notes": "x", "status": "Postponed"}
    job = client.post(f"/queue/{queue}", content=json.dumps(body)).json()
    record = root.get(f"/job/{job}").json()
    assert isinstance(job, int)
    assert (record["status"], record["notes"], record["params"]) == ("Postponed", "x", body["params"])
    assert failed(client.post(f"/queue/{queue}", json={"type": "render"})) == 403
    assert failed(client.post(f"/queue/{queue}", json={"type": "command", "host_name": "farm"})) == 403


def test_delete_a_job_by_its_seq(root, user, queue):
    job = enqueue(root, queue)
    seq = root.get(f"/job/{job}").json()["seq"]
    client = user(may(Right.MANAGE_JOBS, queue))
    assert client.delete(f"/queue/{queue}/{seq}").json() == "done"
    assert failed(client.delete(f"/queue/{queue}/{seq}")) == 404


def test_get_types_and_hosts_that_the_user_may_create_in_a_queue(user, queue):
    client = user(may(Right.CREATE_JOBS, queue, type_name="command", host_name="farm"))
    (record,) = client.get(f"/queue/{queue}/type").json()
    assert (record["name"], record.keys() >= TYPE_KEYS) == ("command", True)
    assert client.get(f"/queue/{queue}/host").json() == ["farm"]
    assert client.get(f"/queue/{queue}/type/command/host").json() == ["farm"]
    assert client.get(f"/queue/{queue}/type/render/host").json() == []
    anywhere = user(may(Right.CREATE_JOBS, queue)).get(f"/queue/{queue}/host").json()
    assert anywhere == ["__default__", "farm", "lab"]


def test_get_jobs_of_all_queues_by_id(root, user, queue):
    made = [enqueue(root, "default"), enqueue(root, queue)]
    found = [record["id"] for record in user(may(Right.VIEW_JOBS)).get("/jobs").json()]
    assert found == sorted(found)
    assert set(made) <= set(found)
    assert failed(user(may(Right.VIEW_JOBS, queue)).get("/jobs")) == 403


def test_get_a_job_needs_the_right_for_its_queue(root, user, queue):
    own, foreign = enqueue(root, queue), enqueue(root, "default")
    client = user(may(Right.VIEW_JOBS, queue))
    record = client.get(f"/job/{own}").json()
    assert record.keys() >= JOB_KEYS
    assert (record["id"], record["queue"], record["stdout"], record["exit_code"]) == (own, queue, None, None)
    assert failed(client.get(f"/job/{foreign}")) == 403


def test_put_a_job_changes_its_place_queue_and_fields(root, user, queue):
    client = user(may(Right.MANAGE_JOBS), may(Right.CREATE_JOBS))
    first, second = enqueue(root, queue), enqueue(root, queue)
    for change in ({"priority": "less"}, {"priority": "last"}, {}):
        assert client.put(f"/job/{first}", json=change).json() == "done"
    assert [record["id"] for record in root.get(f"/queue/{queue}/jobs").json()] == [second, first]
    change = {"notes": "n", "host_name": "farm", "start_time": "2027-01-01T00:00:00Z", "status": "Postponed"}
    assert client.put(f"/job/{first}", json=change).json() == "done"
    record = root.get(f"/job/{first}").json()
    assert record["start_time"] == "2027-01-01T00:00:00.000000Z"
    assert {key: record[key] for key in ("notes", "host_name", "status")} == {
        "notes": "n", "host_name": "farm", "status": "Postponed"}  # fmt: skip
    clear = {"notes": None, "start_time": None, "host_name": None, "status": None}
    assert client.put(f"/job/{first}", json=clear).json() == "done"
    record = root.get(f"/job/{first}").json()
    assert (record["notes"], record["start_time"], record["host_name"]) == (None, None, "farm")
    assert client.put(f"/job/{first}", json={"host_name": "*"}).json() == "done"
    assert root.get(f"/job/{first}").json()["host_name"] is None
    assert client.put(f"/job/{first}", json={"move": "default"}).json() == "done"
    assert client.put(f"/job/{second}", json={"queue_name": "default"}).json() == "done"
    assert {root.get(f"/job/{job}").json()["queue"] for job in (first, second)} == {"default"}


def test_put_a_job_under_way_is_409_for_what_cannot_change(here, root, queue):
    job = enqueue(root, queue)
    here.attempt(job)
    here.set_job(job, status="Processing")
    for change in ({"move": "default"}, {"status": "New"}, {"status": "Done"}, {"params": {}}):
        assert failed(root.put(f"/job/{job}", json=change)) == 409
    assert root.put(f"/job/{job}", json={"notes": "n"}).json() == "done"


def test_delete_and_cancel_a_running_job_ask_its_tree_to_end_behind_the_answer(here, root, user, queue):
    for act in ("delete", "cancel"):
        job = enqueue(root, queue)
        here.attempt(job)
        here.set_job(job, status="Processing")
        client = user(may(Right.MANAGE_JOBS, queue))
        answer = client.delete(f"/job/{job}") if act == "delete" else client.post(f"/job/{job}/cancel")
        assert answer.json() == "done"
        query = f"SELECT cancelled_by, state FROM attempts WHERE job_id = {job}"
        with here.database.read() as connection:
            row = connection.exec_driver_sql(query).one()
        assert row.cancelled_by.startswith("u")
        assert row.state == "running"
        assert root.get(f"/job/{job}").status_code == (404 if act == "delete" else 200)


def test_get_results_and_the_last_one(here, root, user, queue):
    job = enqueue(root, queue)
    client = user(may(Right.VIEW_JOBS, queue))
    assert client.get(f"/job/{job}/results").json() == []
    assert failed(client.get(f"/job/{job}/results/last")) == 404
    here.attempt(job, state="ended", exit_code=3, stdout=[b"one\ntwo\n"], stderr=[b"oh"])
    results = client.get(f"/job/{job}/results").json()
    assert results[0].keys() >= {"job_id", "time", "exit_code", "stdout", "stderr"}
    assert [(r["exit_code"], r["stdout"], r["stderr"]) for r in results] == [
        (None, "one", ""), (None, "two", ""), (None, "", "oh"), (3, "", "")]  # fmt: skip
    assert client.get(f"/job/{job}/results/last").json() == results[-1]


def test_schedules_are_listed_made_and_deleted_with_force_where_used(user, root):
    name = f"s{uuid.uuid4().hex}"
    viewer, manager = user(may(Right.VIEW_SCHEDULES)), user(may(Right.MANAGE_SCHEDULES))
    night = {"name": name, "weekdays": ["Monday"], "time": [{"begin": "22:00:00", "end": "06:00:00"}]}
    assert manager.post("/schedule", json=night).json() == name
    assert failed(manager.post("/schedule", json=night)) == 409
    assert night in viewer.get("/schedule").json()
    assert failed(viewer.delete(f"/schedule/{name}")) == 403
    root.post("/queue", json={"name": name, "schedule_name": name})
    job = root.post(f"/queue/{name}", json={"type": "command"}).json()
    assert failed(manager.delete(f"/schedule/{name}")) == 403
    assert manager.delete(f"/schedule/{name}?forced=true").json() == "done"
    assert failed(root.get(f"/job/{job}")) == failed(root.get(f"/queue/{name}")) == 404


def test_types_and_hosts_are_for_everybody_who_is_logged_in(user):
    client = user()
    assert [record["name"] for record in client.get("/type").json()] == ["command", "farmed", "render"]
    record = client.get("/type/render").json()
    assert record.keys() >= TYPE_KEYS
    assert record["params"][1] == {"name": "frames", "type": "Integer", "title": "frames", "default": "1"}
    assert client.get("/host").json() == ["farm", "lab"]
    assert failed(client.get("/type/gone")) == 404


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("POST /queue/gone", {"type": "command"}, 404),
        ("PUT /queue/gone", {}, 404),
        ("PUT /schedule/gone", {}, 404),
        ("GET /type/gone", None, 404),
        ("POST /queue/{queue}", {"type": "g\u001bone"}, 400),
        ("POST /queue/{queue}", {"type": "command", "host_name": "g\u001bone"}, 400),
        ("PUT /queue/{queue}", {"schedule_name": "g\u001bone"}, 400),
        ("PUT /job/{job}", {"move": "g\u001bone"}, 400),
    ],
)
def test_f4_what_is_unknown_is_404_in_the_path_and_400_in_a_body_with_its_name_escaped(
    root, queue, path, body, code
):
    method, _, path = path.format(queue=queue, job=enqueue(root, queue)).partition(" ")
    answer = root.request(method, path, json=body)
    assert failed(answer) == code
    assert ("g\\x1bone" in answer.text) is (code == 400)
    assert "\x1b" not in answer.text


@pytest.mark.parametrize("value", ["1e3", "0x1F", " 7 ", "7.0", 7.5, True, [], {}, "9" * 101, "\u0661"])
def test_f5_a_value_that_is_no_whole_number_is_400_and_named(root, queue, value):
    answer = root.post(f"/queue/{queue}", json={"type": "render", "params": {"frames": value}})
    assert failed(answer) == 400
    assert "frames" in answer.text


def test_f5_undeclared_parameters_are_kept(root, queue):
    job = enqueue(root, queue, type="render", params={"frames": 7, "own": "$(x)"})
    assert root.get(f"/job/{job}").json()["params"] == {"frames": "7", "own": "$(x)"}


@pytest.mark.parametrize(
    "text", ["a\nb", "'\"", "; rm -rf /", "$(id)", "`id`", "-rf", "x" * 200_000, "\\", "😀"]
)
def test_f7_a_value_is_kept_as_it_is(root, queue, text):
    job = enqueue(root, queue, type="render", params={"input": text})
    assert root.get(f"/job/{job}").json()["params"]["input"] == text


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "abc", "1e3", "%00"])
def test_f8_no_id_and_no_seq_is_a_fault(root, queue, number):
    for method, path in (("GET", f"/job/{number}"), ("POST", f"/job/{number}/cancel"),
                         ("GET", f"/job/{number}/output"), ("GET", f"/job/{number}/stream"),
                         ("DELETE", f"/queue/{queue}/{number}")):  # fmt: skip
        assert failed(root.request(method, path)) == 404


def test_f9_what_is_not_the_callers_to_say_is_ignored_or_400(root, user, queue):
    client = user(may(Right.CREATE_JOBS, queue))
    said = {"id": 1, "seq": -9, "user_name": "root", "try_count": -1_000_000, "queue": "default"}
    job = client.post(f"/queue/{queue}", json={"type": "command"} | said).json()
    record = root.get(f"/job/{job}").json()
    assert (record["queue"], record["seq"], record["try_count"]) == (queue, 1, 0)
    assert record["user_name"].startswith("u")
    assert failed(client.post(f"/queue/{queue}", json={"type": "command", "status": "Done"})) == 400


def test_f10_rubbish_in_a_query_or_a_header_is_400_or_the_default(root, queue):
    enqueue(root, queue)
    assert failed(root.get(f"/queue/{queue}/jobs?status=rubbish")) == 400
    assert failed(root.delete(f"/queue/{queue}?forced=yes")) == 400
    assert root.get(f"/queue/{queue}/jobs", headers={"Accept-Language": b"\xff;;q=x"}).status_code == 200
    assert root.delete(f"/queue/{queue}?forced=TRUE").json() == "done"


@pytest.mark.parametrize("change", [{"move": "{b}"}, {"queue_name": "{b}"}, {"host_name": "farm"}])
def test_g5_who_manages_one_queue_cannot_create_elsewhere_by_a_change(root, user, queue, change):
    other = root.post("/queue", json={"name": f"b {uuid.uuid4().hex}"}).json()
    job = enqueue(root, queue)
    change = {key: value.format(b=other) for key, value in change.items()}
    for grants in (
        [may(Right.MANAGE_JOBS, queue)],
        [may(Right.MANAGE_JOBS), may(Right.CREATE_JOBS, queue, host_name="lab")],
        [may(Right.MANAGE_JOBS), may(Right.CREATE_JOBS, other, type_name="render")],
    ):
        assert failed(user(*grants).put(f"/job/{job}", json=change)) == 403
    record = root.get(f"/job/{job}").json()
    assert (record["queue"], record["host_name"]) == (queue, None)
    both = user(may(Right.MANAGE_JOBS), may(Right.CREATE_JOBS, type_name="command"))
    assert both.put(f"/job/{job}", json=change).json() == "done"


def test_g6_a_right_for_the_default_host_is_for_no_chosen_one(root, user, queue):
    grants = (may(Right.CREATE_JOBS, queue, host_name="__default__"), may(Right.MANAGE_QUEUES, queue))
    client = user(*grants)
    assert enqueue(client, queue) > 0
    assert failed(client.post(f"/queue/{queue}", json={"type": "farmed"})) == 403
    assert failed(client.put(f"/queue/{queue}", json={"host_name": "farm"})) == 403


def test_a_start_time_is_judged_by_the_schedule_and_the_past_means_now(here, root, queue):
    name = f"s{uuid.uuid4().hex}"
    root.post("/schedule", json={"name": name, "time": [{"begin": "22:00:00", "end": "06:00:00"}]})
    root.put(f"/queue/{queue}", json={"schedule_name": name})
    wrong = {"type": "command", "start_time": (here.now + timedelta(days=1)).isoformat()}
    answer = root.post(f"/queue/{queue}", json=wrong)
    assert failed(answer) == 400
    assert name in answer.text
    assert enqueue(root, queue, start_time="2020-01-01T12:00:00Z") > 0


def test_f6_a_name_never_becomes_a_path(root, queue):
    mark = f"mark{uuid.uuid4().hex}"
    opened: list[str] = []
    # A hook stays for the life of the process: this one only looks for its own mark.
    sys.addaudithook(
        lambda event, said: opened.append(event) if event == "open" and mark in str(said[0]) else None
    )
    for name in (f"../{mark}", f"../../tmp/{mark}", f"{mark}\0", f"/etc/{mark}", f"-{mark}"):
        part = quote(name, safe="")
        for path in (f"/queue/{part}", f"/type/{part}", f"/queue/{queue}/type/{part}/host", f"/{part}"):
            assert failed(root.get(path)) == 404
        for key in ("type", "host_name"):
            body = {"type": "command"} | {key: name}
            assert failed(root.post(f"/queue/{queue}", json=body)) == 400
        assert failed(root.post("/schedule", json={"name": name})) == 400
    assert opened == []
