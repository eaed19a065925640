"""The contract's conventions that belong to no single path."""

from __future__ import annotations

from typing import Any

from tests.facade import enqueue, running
from tests.ground import installation


def test_a_login_is_asked_for_where_basic_is_on_of_scripts_in_pages_too(anonymous: Any) -> None:
    answer = anonymous.get("/queue", headers={"X-Requested-With": "XMLHttpRequest"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="batchd"')
    by_header = {"basic": False, "header": True}
    with installation() as here, running(here, **by_header) as facade, facade.client(None) as client:
        assert client.options("/").json() == ["header"]
        answer = client.get("/queue")
        assert answer.status_code == 401
        assert "www-authenticate" not in answer.headers
        assert client.get("/queue", auth=("root", "secret")).status_code == 401


def test_texts_and_records_say_their_charset(root: Any, queue: str) -> None:
    job = enqueue(root, queue)
    for path in ("/queue", f"/job/{job}", f"/job/{job}/results", "/stats", "/whoami", "/openapi.json"):
        assert root.get(path).headers["content-type"] == "application/json; charset=utf-8", path
    assert root.get("/gone").headers["content-type"] == "text/plain; charset=utf-8"


def test_a_success_is_200_and_an_action_is_done(root: Any, queue: str) -> None:
    job = enqueue(root, queue)
    answers = [
        root.put(f"/queue/{queue}", json={}),
        root.put(f"/job/{job}", json={}),
        root.put("/user/root", json={}),
        root.put("/schedule/anytime", json={}),
        root.delete(f"/queue/{queue}?status=done"),
        root.delete(f"/job/{job}"),
        root.delete(f"/queue/{queue}"),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, "done")] * len(answers)


def test_in_a_post_null_is_absent_and_unknown_keys_are_ignored(root: Any, queue: str) -> None:
    nothing = dict.fromkeys(
        ["title", "enabled", "schedule_name", "host_name", "autostart_job_count", "max_jobs", "own"]
    )
    name = f"second {queue}"[:64]
    assert root.post("/queue", json={"name": name} | nothing).json() == name
    assert root.get(f"/queue/{name}").json()["title"] == name
    for_schedule = {"name": name, "weekdays": None, "time": None, "own": [1]}
    assert root.post("/schedule", json=for_schedule).json() == name
    nothing = dict.fromkeys(["host_name", "start_time", "notes", "status", "params", "own"])
    job = root.post(f"/queue/{queue}", json={"type": "command"} | nothing).json()
    assert root.get(f"/job/{job}").json()["status"] == "New"


def test_a_fresh_installation_lets_a_first_enqueue_work() -> None:
    with installation() as here, running(here) as facade, facade.client() as root:
        facade.users.create("root", "secret", superuser=True)
        assert [record["name"] for record in root.get("/schedule").json()] == ["anytime"]
        assert [record["name"] for record in root.get("/queue").json()] == ["default"]
        assert "command" in [record["name"] for record in root.get("/type").json()]
        assert enqueue(root, "default") == 1
