"""Clients that are slow on purpose, pages of other sites, old logins, and what a broken service tells."""

import asyncio
import base64
import socket
import time

import pytest
from starlette.requests import Request

from batchd_api.bodies import read_body
from batchd_api.errors import DatabaseUnavailable, Invalid
from batchd_api.slow_clients import TimelyProtocol
from tests.facade import raw, running
from tests.ground import installation

ORIGIN = "https://web.example"
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def is_closed_by_the_other_side(connection):
    connection.settimeout(60)
    return connection.recv(1) == b""


def test_f14_who_says_nothing_or_only_half_a_head_loses_the_connection(facade, monkeypatch):
    monkeypatch.setattr(TimelyProtocol, "head_seconds", 0.2)
    for said in (b"", b"GET", HEAD):
        with socket.create_connection(("127.0.0.1", facade.port)) as connection:
            connection.sendall(said)
            assert is_closed_by_the_other_side(connection), said


def test_f14_a_second_request_that_never_ends_loses_the_connection_too(facade, monkeypatch):
    monkeypatch.setattr(TimelyProtocol, "head_seconds", 0.2)
    with socket.create_connection(("127.0.0.1", facade.port)) as connection:
        connection.sendall(HEAD + b"\r\n")
        answer = b""
        connection.settimeout(60)
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        connection.sendall(HEAD)
        assert is_closed_by_the_other_side(connection)


def test_f14_an_answer_that_takes_long_is_no_slow_client(facade, root, monkeypatch):
    monkeypatch.setattr(TimelyProtocol, "head_seconds", 0.05)
    monkeypatch.setattr(facade.app.state.services.stats, "all", lambda: time.sleep(0.3) or {})
    assert root.get("/stats").json() == {}


@pytest.mark.anyio
async def test_f14_a_body_that_does_not_come_is_not_waited_for():
    async def never():
        await asyncio.Event().wait()

    request = Request({"type": "http", "headers": []}, never)
    with pytest.raises(Invalid, match="did not come within"):
        await read_body(request, 1000, limit_seconds=0.01)


def test_f2_a_body_over_the_limit_is_told_to_the_page_that_sent_it(root):
    answer = root.post("/user", content=b"x" * 2_000_000, headers={"Origin": ORIGIN})
    assert answer.status_code == 413
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_the_broken_database_is_told_without_its_address(facade, anonymous, monkeypatch):
    def broken():
        raise DatabaseUnavailable('connection to server at "10.1.2.3", port 5432 failed')

    monkeypatch.setattr(facade.app.state.services.health._database, "read", broken)
    answer = anonymous.get("/health", headers={"Origin": ORIGIN})
    assert answer.status_code == 503
    assert answer.json()["alive"] is True
    assert answer.json()["database"] == "The database cannot be reached."
    assert "10.1.2.3" not in answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_g4_a_proxys_user_is_believed_from_the_proxy_alone():
    with installation() as here:
        with running(here, header=True) as facade, facade.client(None) as client:
            facade.users.create("ann", "secret")
            facade.users.create("bob", "secret")
            said = {"X-Auth-User": "ann"}
            assert client.options("/").json() == ["basic", "header"]
            assert client.put("/user/ann", json={}, headers=said).status_code == 200
            both = said | basic("bob", "secret")
            assert client.put("/user/ann", json={}, headers=both).status_code == 200
            assert client.put("/user/bob", json={}, headers=both).status_code == 403
            assert client.get("/queue", headers={"x_auth_user": "ann"}).status_code == 401
            assert client.get("/queue", headers=[("X-Auth-User", "ann")] * 2).status_code == 400
        elsewhere = running(here, header=True, trusted_proxies=("10.0.0.0/8",))
        with elsewhere as facade, facade.client(None) as client:
            assert client.get("/queue", headers=said).status_code == 401
            assert client.put("/user/bob", json={}, headers=both).status_code == 200


def test_g11_a_form_of_another_site_changes_nothing(facade, root):
    answer = root.post(
        "/user",
        content=b'{"name": "evil", "password": "x", "x": "="}',
        headers={"Origin": "https://evil.example", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 403
    assert "evil" not in root.get("/user").json()
    unknown = b"GET /user HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"
    assert raw(facade, unknown).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("origin", ["https://web.example", "https://other.example"])
def test_a_preflight_of_each_allowed_origin_is_answered_and_of_another_is_not_allowed(anonymous, origin):
    asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    answer = anonymous.options("/user/ann", headers=asked | {"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    other = anonymous.options("/user/ann", headers=asked | {"Origin": "https://evil.example"})
    assert not [name for name in other.headers if name.startswith("access-control-")]
    assert other.headers["vary"] == "Origin"


@pytest.mark.parametrize("name", ["Вася Пупкин", "a@b+c.d", "o_o-x"])
def test_a_user_of_any_legal_name_logs_in_and_is_found_percent_encoded(facade, root, name):
    root.post("/user", json={"name": name, "password": "пароль"}).raise_for_status()
    path = "/user/" + "".join(f"%{byte:02x}" for byte in name.encode())
    with facade.client(name, "пароль") as client:
        assert client.put(path, json={"password": "new"}).json() == "done"
        assert client.put(path, json={"password": "new"}).status_code == 401
    assert root.post(f"{path}/permissions/", json={"permission": "ViewQueues"}).status_code == 200
    assert root.delete(path).json() == "done"


def test_the_old_command_lines_login_is_cut_to_bytes_and_works(facade, root, anonymous):
    root.post("/user", json={"name": "Ольга", "password": "пароль"}).raise_for_status()
    sent = bytes(ord(character) & 0xFF for character in "Ольга:пароль")
    wrong = bytes(ord(character) & 0xFF for character in "Ольга:парола")
    for credentials, code in ((sent, 200), (wrong, 401)):
        token = base64.b64encode(credentials).decode()
        answer = anonymous.get("/queue", headers={"Authorization": f"Basic {token}"})
        assert answer.status_code == code
