"""Paths and bodies as clients may send them, the bad ones too."""

import base64
import logging
import socket

import pytest

from tests.facade import enqueue, is_sentence, raw


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
def test_a_body_is_json_whatever_its_content_type(root, queue, headers):
    assert root.post(f"/queue/{queue}", content=b'{"type": "command"}', headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/queue/default/", "//queue//default", "/queue/default//", "//queue/default/"]
)
def test_slashes_more_or_less_are_the_same_path(facade, path):
    token = base64.b64encode(b"root:secret").decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\nConnection: close\r\n\r\n"
    )
    answer = raw(facade, request.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"name":"default"' in answer


@pytest.mark.parametrize("name", ["Ночь 2", "a@b+c.d", "jobs", "type"])
def test_any_name_that_is_legal_in_a_body_works_in_a_url(root, name):
    root.post("/queue", json={"name": name}).raise_for_status()
    path = "/queue/" + "".join(f"%{byte:02X}" for byte in name.encode())
    assert root.get(path).json()["name"] == name
    assert root.get(f"{path}/jobs").json() == []
    assert root.delete(path).json() == "done"


@pytest.mark.parametrize(
    "path",
    ["/queue/a%2Fb", "/queue/%00", "/queue/%ff", "/queue/%2e%2e%2fetc", "/type/..%2F..%2Fetc%2Fpasswd",
     "/queue/x" * 200, "/stats/gone", "/queue/gone/jobs", "/queue/default/type/gone/host",
     "/nothing", "/%F0%9F%8E%89"],
)  # fmt: skip
def test_an_unknown_name_is_404_in_one_sentence(root, path):
    answer = root.get(path)
    assert answer.status_code == 404
    assert is_sentence(answer)


@pytest.mark.parametrize(
    "number",
    ["0", "-1", "9223372036854775807", "9223372036854775808", "1" * 400, "abc", "1.5", "%D9%A1", "1%00"],
)
def test_an_id_that_no_job_can_have_is_404(root, number):
    for path in (f"/job/{number}", f"/job/{number}/results", f"/job/{number}/results/last"):
        assert root.get(path).status_code == 404
    assert root.put(f"/job/{number}", json={}).status_code == 404
    assert root.delete(f"/job/{number}").status_code == 404
    assert root.delete(f"/queue/default/{number}").status_code == 404


def test_another_method_is_405_in_one_sentence(root):
    for method, path in (
        ("PATCH", "/queue"),
        ("POST", "/stats"),
        ("GET", "/queue/default/5"),
        ("HEAD", "/queue"),
    ):
        answer = root.request(method, path)
        assert answer.status_code == 405, path
    assert is_sentence(root.patch("/queue"))


def test_an_error_is_a_problem_record_where_that_is_asked_for(root):
    answer = root.get("/queue/gone", headers={"Accept": "application/problem+json"})
    assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert answer.json() == {"title": "Not Found", "status": 404, "detail": 'There is no queue "gone".'}


def test_what_a_sentence_quotes_is_escaped(root):
    answer = root.get("/queue/a%0D%0A%1B%5B2J")
    assert answer.text == 'There is no queue "a\\r\\n\\x1b[2J".'


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"a":NaN}', b'{"a":1,"a":2}', b'{"a":1e400}', b'{"a":1%s}' % (b"0" * 400), b"\xff"],
)
def test_f1_a_bad_body_is_400_in_one_sentence(root, queue, body):
    assert_all_refuse(root, queue, body)


@pytest.mark.parametrize("opening", [b'{"a":', b"["])
def test_f3_a_body_10_000_deep_is_400_in_one_sentence(root, queue, opening):
    assert_all_refuse(root, queue, opening * 10_000)


def assert_all_refuse(root, queue, body):
    for method, path in (
        ("POST", "/queue"),
        ("POST", f"/queue/{queue}"),
        ("PUT", f"/queue/{queue}"),
        ("POST", "/schedule"),
    ):
        answer = root.request(method, path, content=body)
        assert answer.status_code == 400
        assert is_sentence(answer)
        assert "Traceback" not in answer.text


def test_f2_a_body_over_the_limit_is_413_with_its_length_or_chunked(root, queue):
    body = b'{"type":"command","notes":"' + b"x" * 2_000_000 + b'"}'
    for content in (body, iter([body[:1_000_000], body[1_000_000:]])):
        answer = root.post(f"/queue/{queue}", content=content)
        assert answer.status_code == 413
        assert is_sentence(answer)
    assert root.get(f"/queue/{queue}/jobs").json() == []


def test_a_client_that_goes_away_while_it_sends_is_no_error(facade, root, caplog):
    token = base64.b64encode(b"root:secret").decode()
    head = f"POST /queue/default HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\n"
    with socket.create_connection(("127.0.0.1", facade.port)) as connection:
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    root.get("/queue").raise_for_status()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"type": "gone"}, "gone"),
        ({"type": "command", "host_name": "gone"}, "gone"),
        ({"type": "render", "params": {"frames": "1e3"}}, "frames"),
        ({"type": "command", "params": {"PATH": "x"}}, "PATH"),
        ({"type": "command", "status": "Done"}, "Done"),
        ({"type": "command", "start_time": "soon"}, "soon"),
        ({}, "type"),
    ],
)
def test_a_bad_field_is_400_and_named(root, queue, body, named):
    answer = root.post(f"/queue/{queue}", json=body)
    assert answer.status_code == 400
    assert named in answer.text


def test_what_the_old_command_line_sends_along_is_ignored(root, queue):
    along = {
        "id": 5,
        "queue": "x",
        "seq": -1,
        "user_name": "other",
        "try_count": -1_000_000,
        "stdout": None,
        "x": {},
    }
    job = root.post(f"/queue/{queue}", json={"type": "command"} | along).json()
    record = root.get(f"/job/{job}").json()
    assert (record["queue"], record["seq"], record["user_name"], record["try_count"]) == (queue, 1, "root", 0)


def test_a_status_in_the_query_may_have_either_spelling(root, queue):
    job = enqueue(root, queue)
    for status in ("new", "New", "all", "ALL"):
        assert [
            record["id"] for record in root.get(f"/queue/{queue}/jobs", params={"status": status}).json()
        ] == [job]
    assert root.get(f"/queue/{queue}/jobs?status=done").json() == []
    assert root.get("/jobs?status=rubbish").status_code == 400
    assert root.delete(f"/queue/{queue}?status=").status_code == 400


def test_names_in_paths_match_the_routes_in_whole(root):
    assert root.get("/queuedefault").status_code == 404
    assert root.get("/job/1/results/first").status_code == 404
