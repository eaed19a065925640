"""The REST contract over HTTP: what the paths answer, and what happens when something is broken."""

import threading

import pytest

from batchd_api.db.tables import jobs
from batchd_api.errors import DatabaseBusy, DatabaseFull
from batchd_api.routes.table import ROUTES
from tests.facade import enqueue, is_sentence


def test_a_job_from_enqueue_to_its_results(here, root, queue):
    job = enqueue(root, queue, params={"command": "echo", "args": "ä"}, notes="n")
    here.attempt(job, state="ended", exit_code=0, stdout=[b"one\nt\xc3", b"\xa4o\n"], stderr=[b"oh\n"])
    record = root.get(f"/job/{job}").json()
    assert set(record) == {
        "id", "queue", "type", "seq", "user_name", "create_time", "start_time", "status", "try_count",
        "host_name", "notes", "result_time", "exit_code", "stdout", "stderr", "params",
        "reason", "flow_run_id", "flow_run_url", "working_directory",
        "timeout", "silence", "kill_after", "output_limit", "output_cut", "notify", "progress",
        "expected_end", "started_time"}  # fmt: skip
    assert (record["user_name"], record["stdout"], record["params"]["args"]) == ("root", "one\ntäo\n", "ä")
    results = root.get(f"/job/{job}/results")
    assert results.headers["content-type"] == "application/json; charset=utf-8"
    assert [r["stdout"] + r["stderr"] for r in results.json()] == ["one", "täo", "oh", ""]
    assert [r["exit_code"] for r in results.json()] == [None, None, None, 0]
    assert root.get(f"/job/{job}/results/last").json()["exit_code"] == 0


def test_large_output_is_sent_piece_by_piece(here, root, queue):
    job = enqueue(root, queue)
    line = b"x" * 99 + b"\n"
    here.attempt(job, state="ended", stdout=[line * 600] * 100)
    records = root.get(f"/job/{job}/results").json()
    assert len(records) == 60_001
    assert sum(len(record["stdout"]) for record in records) == 60_000 * 99


def test_times_are_in_utc_with_six_digits(here, root, queue):
    job = enqueue(root, queue, start_time="2026-11-24T22:00:00Z")
    record = root.get(f"/job/{job}").json()
    assert record["create_time"] == "2026-11-24T12:00:00.000000Z"
    assert record["start_time"] == "2026-11-24T22:00:00.000000Z"


def test_queues_are_made_changed_and_deleted(root):
    expected = {"name": "life", "title": "life", "enabled": True, "schedule_name": "anytime",
                "host_name": None, "autostart_job_count": None, "max_jobs": None,
                "run_as": None, "work_pool": None, "open": True, "next_change": None,
                "notify": None, "expected_end": None}  # fmt: skip
    assert root.post("/queue", json={"name": "life"}).json() == "life"
    assert root.get("/queue/life").json() == expected
    assert root.post("/queue", json={"name": "life"}).status_code == 409
    assert root.put("/queue/life", json={}).json() == "done"
    assert root.put("/queue/life", json={"enabled": False, "host_name": "farm"}).json() == "done"
    assert root.put("/queue/life", json={"schedule_name": "gone"}).status_code == 400
    assert root.get("/queue/life").json() == expected | {"enabled": False, "host_name": "farm"}
    enqueue(root, "life")
    assert root.delete("/queue/life").status_code == 403
    assert root.delete("/queue/life?forced=true").json() == "done"
    assert root.delete("/queue/life").status_code == 404


def test_schedules_are_made_used_and_deleted(root):
    night = {"name": "night", "weekdays": ["Monday"], "time": [{"begin": "22:00:00", "end": "06:00:00"}]}
    assert root.post("/schedule", json=night).json() == "night"
    assert root.post("/schedule", json=night).status_code == 409
    assert night in root.get("/schedule").json()
    assert root.post("/schedule", json={"name": "x", "weekdays": []}).status_code == 400
    root.post("/queue", json={"name": "nightly", "schedule_name": "night"}).raise_for_status()
    answer = root.post("/queue/nightly", json={"type": "command", "start_time": "2026-12-02T12:00:00Z"})
    assert answer.status_code == 400
    assert "night" in answer.text
    assert root.delete("/schedule/night").status_code == 403
    assert root.delete("/schedule/night?forced=true").json() == "done"
    assert root.get("/queue/nightly").status_code == 404


def test_jobs_are_changed_and_deleted(here, root, queue):
    first, second = enqueue(root, queue), enqueue(root, queue)
    assert root.put(f"/job/{second}", json={"priority": "first"}).json() == "done"
    assert [record["id"] for record in root.get(f"/queue/{queue}/jobs").json()] == [second, first]
    assert root.put(f"/job/{first}", json={"status": "postponed", "notes": "later"}).json() == "done"
    assert root.get(f"/job/{first}").json()["status"] == "Postponed"
    assert root.put(f"/job/{first}", json={"status": "Processing"}).status_code == 409
    assert root.put(f"/job/{first}", json={"queue_name": "default"}).json() == "done"
    assert root.get(f"/job/{first}").json()["queue"] == "default"
    seq = root.get(f"/job/{second}").json()["seq"]
    assert root.delete(f"/queue/{queue}/{seq}").json() == "done"
    assert root.delete(f"/job/{first}").json() == "done"
    assert root.get(f"/job/{first}").status_code == 404


def test_statistics_types_and_hosts(root, queue):
    enqueue(root, queue)
    assert root.get(f"/stats/{queue}").json() == {"new": 1}
    assert root.get("/stats").json()[queue] == {"new": 1}
    assert [t["name"] for t in root.get("/type").json()] == ["command", "farmed", "render"]
    assert root.get("/type/command").json()["params"][0]["name"] == "command"
    assert root.get("/host").json() == ["farm", "lab"]
    assert root.get(f"/queue/{queue}/host").json() == ["__default__", "farm", "lab"]
    assert root.get(f"/queue/{queue}/type/farmed/host").json() == ["__default__", "farm", "lab"]
    assert len(root.get(f"/queue/{queue}/type").json()) == 3


def test_the_api_description_is_for_users(root):
    paths = root.get("/openapi.json").json()["paths"]
    assert {route.path for route in ROUTES} >= set(paths) - {"/openapi.json"}
    assert "requestBody" not in paths["/queue/{name}"]["get"]


@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [(DatabaseBusy(), 503, True), (DatabaseFull(), 507, False), (RuntimeError("secret"), 500, False)],
)
def test_a_fault_is_one_sentence_and_no_trace(facade, root, monkeypatch, error, code, retry):
    def broken(*_arguments):
        raise error

    monkeypatch.setattr(facade.app.state.services.stats, "all", broken)
    answer = root.get("/stats", headers={"Origin": "https://web.example"})
    assert answer.status_code == code
    assert ("retry-after" in answer.headers) is retry
    assert answer.headers["access-control-allow-origin"] == "https://web.example"
    assert is_sentence(answer)
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_an_unexpected_fault_is_in_the_log(facade, root, monkeypatch, caplog):
    monkeypatch.setattr(facade.app.state.services.stats, "all", lambda: 1 / 0)
    root.get("/stats")
    assert any("/stats" in record.getMessage() and record.exc_info for record in caplog.records)


def test_a_long_queue_is_listed_whole(here, root, queue):
    row = dict(here.row(enqueue(root, queue))._mapping)
    with here.database.write() as connection:
        connection.execute(jobs.insert(), [row | {"id": 1_000_000 + n, "seq": 2 + n} for n in range(5000)])
    enqueue(root, queue)
    listed = root.get(f"/queue/{queue}/jobs").json()
    assert [record["seq"] for record in listed] == list(range(1, 5003))


def test_many_enqueue_at_once_and_each_gets_a_place(facade, here, queue):
    ids, failures = [], []

    def work():
        with facade.client() as client:
            for _ in range(5):
                answer = client.post(f"/queue/{queue}", json={"type": "command"})
                (ids if answer.status_code == 200 else failures).append(
                    answer.json() if answer.is_success else answer.text
                )

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(here.row(job).seq for job in ids) == list(range(1, 51))
