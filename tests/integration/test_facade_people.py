"""The REST contract about people: users, permissions, health, pages, and how logins are protected."""

import base64
import json
import logging
import socket

import pytest

from tests.facade import is_sentence, raw, running
from tests.ground import installation


@pytest.fixture
def ann(facade, root):
    root.post("/user", json={"name": "ann", "password": "first"}).raise_for_status()
    yield "ann"
    root.delete("/user/ann")


def test_users_are_listed_made_and_deleted(root):
    assert root.post("/user", json={"name": "Ж б", "password": "x", "other": 1}).json() == "Ж б"
    assert root.post("/user", json={"name": "Ж б", "password": "x"}).status_code == 409
    assert "Ж б" in root.get("/user").json()
    assert root.delete("/user/%D0%96%20%D0%B1").json() == "done"
    assert root.delete("/user/%D0%96%20%D0%B1").status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "x"}, {"name": "x", "password": ""}, {"name": "a:b", "password": "x"},
     {"name": 5, "password": "x"}, {"name": "x", "password": ["x"]}, {"name": "x", "password": "x" * 2000},
     {"name": "../x", "password": "x"}, {"name": "x" * 300, "password": "x"}],
)  # fmt: skip
def test_a_user_that_cannot_be_is_400_in_one_sentence(root, body):
    answer = root.post("/user", json=body)
    assert answer.status_code == 400
    assert is_sentence(answer)


def test_a_user_changes_the_own_password_and_no_others(facade, root, ann):
    with facade.client(ann, "first") as client:
        assert client.put("/user/root", json={"password": "x"}).status_code == 403
        assert client.put("/user/ann", json={}).json() == "done"
        assert client.put("/user/ann", json={"name": "root", "password": "second"}).json() == "done"
        assert client.get("/queue").status_code == 401
    with facade.client(ann, "second") as client:
        assert client.get("/queue").json() == []
    assert root.put("/user/ann", json={"password": "third"}).json() == "done"
    assert root.put("/user/nobody-at-all", json={"password": "x"}).status_code == 404


def test_permissions_are_granted_listed_and_revoked(facade, root, ann):
    given = {"permission": "ViewQueues", "queue_name": "default", "user_name": "root"}
    number = root.post("/user/ann/permissions", json=given).json()
    assert root.get("/user/ann/permissions").json() == [
        [number, given | {"user_name": "ann", "type_name": None, "host_name": None}]
    ]
    with facade.client(ann, "first") as client:
        assert [queue["name"] for queue in client.get("/queue").json()] == ["default"]
        assert root.delete(f"/user/ann/permissions/{number}").json() == "done"
        assert client.get("/queue").json() == []
    assert root.delete(f"/user/ann/permissions/{number}").status_code == 404
    assert root.delete("/user/ann/permissions/abc").status_code == 404
    assert root.get("/user/nobody-at-all/permissions").status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"permission": "Fly"}, {"permission": "ViewJobs", "queue_name": "gone"},
     {"permission": "CreateJobs", "type_name": "gone"}, {"permission": "CreateJobs", "host_name": "gone"}],
)  # fmt: skip
def test_f4_a_permission_about_something_unknown_is_400(root, ann, body):
    assert root.post("/user/ann/permissions", json=body).status_code == 400


def test_the_last_superuser_stays():
    with installation() as here, running(here) as facade, facade.client() as root:
        facade.users.create("root", "secret", superuser=True)
        ((number, _),) = root.get("/user/root/permissions").json()
        for path in ("/user/root", f"/user/root/permissions/{number}"):
            answer = root.delete(path)
            assert (answer.status_code, is_sentence(answer)) == (403, True)
        facade.users.create("other", "secret", superuser=True)
        assert root.delete("/user/root").json() == "done"


def test_health_needs_no_login(anonymous):
    answer = anonymous.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "alive": True,
        "database": "ok",
        "prefect": "not embedded",
        "dispatchers": 0,
        "host_alarms": 0,
    }


def test_without_a_web_client_the_page_names_the_api_and_prefect():
    url = "http://x/?a&b"
    with installation() as here, running(here, prefect_ui_url=url) as facade, facade.client(None) as client:
        page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in page.text
    assert "http://x/?a&amp;b" in page.text


def test_a_web_client_of_ones_own_is_served_and_nothing_outside_its_folder(tmp_path):
    folder = tmp_path / "web"
    (folder / "js").mkdir(parents=True)
    for name, text in (("batch.html", "start"), ("monitor.html", "monitor"), ("js/a b.js", "script")):
        (folder / name).write_text(text)
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    with installation() as here, running(here, static_path=folder) as facade, facade.client(None) as client:
        found = {path: client.get(path).text for path in ("/", "/monitor/", "/js/a%20b.js")}
        assert list(found.values()) == ["start", "monitor", "script"]
        assert "content-security-policy" not in client.get("/").headers
        for path in ("/%2e%2e%2fsecret", "/..%2fsecret", "/link", "/gone", "/js", "/%00", "/" + "x" * 300):
            assert client.get(path).status_code == 404, path
        assert raw(facade, b"GET /../secret HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_g2_wrong_passwords_are_401_with_a_growing_delay_after_five(facade):
    facade.users.create("slowed", "secret")
    with facade.client("slowed", "wrong") as client:
        answers = [client.get("/queue") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {401}
    delays = [int(answer.headers.get("retry-after", 0)) for answer in answers]
    assert delays[:5] == [0] * 5
    assert delays[5:] == sorted(delays[5:])
    assert 0 < delays[5] < delays[-1]
    with facade.client() as other:
        assert other.get("/queue").status_code == 200


def test_g13_a_failed_login_is_one_line_whatever_the_name(facade, caplog):
    token = base64.b64encode(b"evil\r\nroot logged in\x1b[2J:x").decode()
    with caplog.at_level(logging.WARNING), facade.client(None) as client:
        client.get("/queue", headers={"Authorization": f"Basic {token}"})
        client.get("/queue")
    lines = [r.getMessage() for r in caplog.records if r.name == "batchd_api.authentication"]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "\x1b" not in lines[0]
    assert "evil\\r\\n" in lines[0]


def test_f14_half_open_requests_do_not_keep_others_waiting(facade, root):
    token = base64.b64encode(b"root:secret").decode()
    head = "POST /queue/default HTTP/1.1\r\nHost: localhost\r\n"
    body = f"{head}Authorization: Basic {token}\r\nContent-Length: 50\r\n\r\n{{"
    half = []
    try:
        for number in range(200):
            connection = socket.create_connection(("127.0.0.1", facade.port), timeout=30)
            connection.sendall((head if number % 2 else body).encode())
            half.append(connection)
        assert root.get("/queue", timeout=20).status_code == 200
    finally:
        for connection in half:
            connection.close()


def test_an_old_client_sends_json_without_a_content_type(facade, ann):
    token = base64.b64encode(b"root:secret").decode()
    body = json.dumps({"permission": "ViewJobs"}).encode()
    head = (
        f"POST //user/%61nn/permissions/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    answer = raw(facade, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.rpartition(b"\r\n\r\n")[2].isdigit()


def test_g11_a_page_of_each_allowed_origin_may_and_of_another_may_not(root, ann):
    for origin in ("https://web.example", "https://other.example"):
        answer = root.put("/user/ann", json={}, headers={"Origin": origin})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    answer = root.put("/user/ann", json={"password": "stolen"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
