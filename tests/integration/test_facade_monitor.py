"""The rows of /monitor, over HTTP and through the command line's own client."""

from datetime import datetime, timedelta

import pytest

from batchd_api.metric_records import gauge, label
from batchd_api.services.metric_history import Dump
from batchd_cli.client import Client, basic
from tests.facade import enqueue, is_sentence, running
from tests.ground import NOW, installation

FIELDS = {
    *("name", "time", "daemon", "kind", "value", "text"),
    *("mean", "variance", "count", "sum", "min", "max"),
}


@pytest.fixture(scope="module")
def stored(facade):
    """Three dumps, ten seconds apart, the last at the facade's noon."""
    for seconds in (20, 10, 0):
        facade.app.state.services.metric_history.store(
            Dump(
                time=NOW - timedelta(seconds=seconds),
                daemon="Both",
                metrics=(
                    gauge("batchd.jobs.New", seconds),
                    gauge("batchd.queue.night.jobs.New", seconds),
                    label("batchd.host.a/b.status", "on"),
                ),
            )
        )
    return facade


def test_current_plain_is_a_list_of_whole_records_of_one_time(root, queue):
    enqueue(root, queue)
    found = root.get("/monitor/current/plain").json()
    assert all(one.keys() == FIELDS for one in found)
    assert len({one["time"] for one in found}) == 1
    assert {one["kind"] for one in found} == set("cgld")
    assert {one["daemon"] for one in found} == {"Both"}
    by_name = {one["name"]: one for one in found}
    assert by_name[f"batchd.queue.{queue}.jobs.New"]["value"] == 1
    assert by_name[f"batchd.queue.{queue}.jobs.Done"]["value"] == 0
    assert isinstance(by_name["batchd.job.duration"]["count"], int)


def test_a_prefix_narrows_the_list_and_the_tree(root):
    names = [one["name"] for one in root.get("/monitor/batchd.wai.response_status_/current/plain/").json()]
    assert names == [f"batchd.wai.response_status_{n}xx" for n in range(1, 6)]
    tree = root.get("/monitor/batchd.jobs/current/tree").json()
    assert tree["batchd"]["jobs"]["New"].keys() == {"type", "val"}
    assert root.get("/monitor/nothing/current/plain").json() == []
    assert root.get("/monitor/nothing/current/tree").json() == {}


def test_the_whole_tree_has_a_distribution_with_its_figures(root):
    tree = root.get("/monitor/current/tree").json()
    latency = tree["batchd"]["wai"]["latency_distribution"]
    assert latency.keys() == {"type", "mean", "variance", "count", "sum", "min", "max"}
    assert latency["count"] > 0
    assert tree["rts"]["gc"]["current_bytes_used"]["val"] > 0


def test_requests_are_counted_by_the_class_of_their_status(root):
    def counts():
        found = root.get("/monitor/batchd.wai/current/plain").json()
        return {one["name"].rpartition(".")[2]: one["value"] for one in found}

    before = counts()
    assert root.get("/nothing/here").status_code == 404
    assert root.get("/queue", headers={"Host": "evil.example"}).status_code == 400
    after = counts()
    assert after["response_status_4xx"] - before["response_status_4xx"] == 2
    assert after["response_status_2xx"] - before["response_status_2xx"] == 1  # the first look itself
    assert after["request_count"] - before["request_count"] == 3


def test_last_is_the_newest_stored_record_as_a_tree(stored, root):
    assert root.get("/monitor/batchd.jobs.New/last").json() == {
        "batchd": {"jobs": {"New": {"type": "g", "val": 0}}}
    }
    assert root.get("/monitor/batchd.host.a%2Fb.status/last").status_code == 200
    answer = root.get("/monitor/batchd.nothing/last")
    assert answer.status_code == 404
    assert is_sentence(answer)
    assert "batchd.nothing" in answer.text


def test_query_gives_stored_records_of_a_time(stored, root):
    def values(question):
        answer = root.get(f"/monitor/batchd.jobs/query?{question}")
        assert answer.status_code == 200, answer.text
        assert all(one.keys() == FIELDS for one in answer.json())
        return [one["value"] for one in answer.json()]

    assert values("last=15") == [10, 0]
    assert values("from=2026-11-24T11:59:40&to=2026-11-24T11:59:50") == [20, 10]
    assert values("from=2026-11-24T11:59:55") == [0]
    assert values("from=2030-01-01T00:00:00") == []
    assert values("from=2026-11-24T11:59:40&to=2026-11-24T11:59:50&every=100") == [10]


@pytest.mark.parametrize(
    "question",
    [
        *("", "?last=soon", "?last=-1", "?from=yesterday"),
        *("?from=2026-11-24T00:00:00&to=x", "?from=0001-01-01T00:00:00%2B14:00"),
    ],
)
def test_a_time_that_is_none_is_400_and_a_sentence(stored, root, question):
    for path in ("/monitor/batchd/query", "/monitor/jobs"):
        answer = root.get(path + question)
        assert answer.status_code == 400
        assert is_sentence(answer)


def test_jobs_are_counted_over_time(stored, root):
    found = root.get("/monitor/jobs?last=15").json()
    assert [(one["time"], one["queue"], one["status"], one["jobs"]) for one in found] == [
        ("2026-11-24T11:59:50.000000Z", "night", "New", 10),
        ("2026-11-24T12:00:00.000000Z", "night", "New", 0),
    ]


def test_whoever_is_logged_in_may_look_and_nobody_else(facade, anonymous):
    paths = [
        "current/plain",
        "a/current/plain",
        "current/tree",
        "a/current/tree",
        "a/query?last=1",
        "jobs?last=1",
    ]
    with facade.client("nobody") as nobody:
        assert [nobody.get(f"/monitor/{path}").status_code for path in paths] == [200] * 6
    assert [anonymous.get(f"/monitor/{path}").status_code for path in paths] == [401] * 6


def test_the_command_lines_client_reads_all_of_them(stored, facade):
    client = Client(f"http://127.0.0.1:{facade.port}", auth=basic("root", "secret"))
    kinds = {one.name: one.kind for one in client.metrics()}
    assert kinds["batchd.job.duration"] == "d"
    assert client.metrics_tree("batchd.jobs")["batchd"]["jobs"]["New"]["type"] == "g"
    assert client.last_metric("batchd.jobs.New")["batchd"]["jobs"]["New"]["val"] == 0
    assert [one.value for one in client.stored_metrics("batchd.jobs", last_seconds=15)] == [10, 0]
    begin = datetime(2026, 11, 24, 11, 59, 45)
    assert [one.jobs for one in client.job_counts(begin=begin)] == [10, 0]


def test_metrics_ask_for_a_login_as_everything_does(root, anonymous, facade):
    answer = root.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'batchd_jobs{queue="default",status="New"}' in answer.text
    assert anonymous.get("/metrics").status_code == 401
    with facade.client("nobody") as nobody:
        assert nobody.get("/metrics").status_code == 200


def test_metrics_can_be_opened_to_a_scraper_and_nothing_else_with_them():
    with installation() as here, running(here, prometheus_open=True) as facade, facade.client(None) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/monitor/current/plain").status_code == 401
