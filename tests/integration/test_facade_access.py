"""Who may do what over HTTP, and from where."""

import subprocess
import sys

import pytest
from fastapi.routing import APIRoute

from batchd_api.dependencies import Guard
from batchd_api.permissions import Grant, Right, Scope
from batchd_api.routes.table import ROUTES
from batchd_api.services.users import grant
from tests.facade import enqueue, is_sentence, raw, running
from tests.ground import installation

EXAMPLES = {
    "job_id": "1",
    "attempt_id": "1",
    "seq": "1",
    "type_name": "command",
    "name": "default",
    "permission_id": "1",
    "prefix": "batchd",
}


def path_of(route, *, safely=False):
    """`safely`: who may delete finds nothing to delete."""
    if safely and route.method == "DELETE":
        return route.path.format_map(EXAMPLES | {"name": "gone", "job_id": "999999999"})
    return route.path.format_map(EXAMPLES)


def test_every_route_has_its_authentication_dependency(facade):
    routes = [route for route in facade.app.routes if isinstance(route, APIRoute)]
    assert len(routes) == len(facade.app.routes) == len(ROUTES)
    declared = {(route.method, route.path): route.access for route in ROUTES}
    for route in routes:
        guards = [d.dependency for d in route.dependencies if isinstance(d.dependency, Guard)]
        assert [guard.access for guard in guards] == [
            declared[method, route.path] for method in route.methods
        ]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_g1_without_login_only_the_open_routes_answer(anonymous, route):
    answer = anonymous.request(route.method, path_of(route), content=b"{}")
    if route.access.scope is Scope.OPEN:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="batchd"'
        assert is_sentence(answer)


def test_g1_a_wrong_password_opens_no_more_than_none(facade, users_of_routes):
    for route, name in users_of_routes:
        with facade.client(name, "wrong") as client:
            answer = client.request(route.method, path_of(route), content=b"{}")
        assert answer.status_code == (200 if route.access.scope is Scope.OPEN else 401), route


@pytest.fixture
def users_of_routes():
    """Another name for each route: failures of one name are slowed down."""
    return [(route, f"guess {number}") for number, route in enumerate(ROUTES)]


def test_g1_a_superuser_is_refused_nowhere(root):
    for route in ROUTES:
        with root.stream(route.method, path_of(route, safely=True), content=b"{}") as answer:
            is_for_a_token = route.access.scope is Scope.ATTEMPT
            assert (answer.status_code in (401, 403)) is is_for_a_token, route


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.access.right],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_g1_a_user_without_rights_is_refused(facade, root, route):
    if route.access.scope is Scope.JOB and root.get("/job/1").status_code == 404:
        enqueue(root, "default")
    with facade.client("nobody") as nobody:
        answer = nobody.request(route.method, path_of(route), content=b"{}")
    assert answer.status_code == 403
    assert route.access.right in answer.text
    assert is_sentence(answer)


@pytest.mark.parametrize("right", [right for right in Right if right is not Right.SUPER_USER])
def test_g1_one_right_opens_just_the_routes_that_ask_for_it(facade, here, root, queue, right):
    name = f"only-{right}"
    facade.users.create(name, "secret")
    with here.database.write() as connection:
        grant(connection, name, Grant(right=right))
    job = enqueue(root, queue)
    with facade.client(name) as client:
        for route in ROUTES:
            if route.access.right is None:
                continue
            path = (
                path_of(route, safely=route.access.right is right)
                .replace("/job/1", f"/job/{job}")
                .replace("default", queue)
            )
            with client.stream(route.method, path, content=b"{}") as answer:  # one of them never ends
                refused = answer.status_code == 403
            assert refused is (route.access.right is not right), route


def test_a_right_that_is_tied_to_a_queue_is_for_that_queue(facade, here, root, queue):
    facade.users.create("tied", "secret")
    with here.database.write() as connection:
        for right in (Right.VIEW_JOBS, Right.MANAGE_JOBS, Right.CREATE_JOBS):
            grant(connection, "tied", Grant(right=right, queue_name=queue))
    own, foreign = enqueue(root, queue), enqueue(root, "default")
    with facade.client("tied") as tied:
        codes = {path: tied.get(path).status_code for path in (
            f"/job/{own}", f"/job/{foreign}", "/jobs", f"/queue/{queue}/jobs", "/queue/default/jobs",
            f"/stats/{queue}", "/stats")}  # fmt: skip
        assert list(codes.values()) == [200, 403, 403, 200, 403, 200, 403], codes
        assert tied.put(f"/job/{own}", json={"move": "default"}).status_code == 403
        assert tied.post("/queue/default", json={"type": "command"}).status_code == 403
        assert enqueue(tied, queue) > own


def test_the_facade_loads_no_prefect():
    code = "import sys, batchd_api.facade; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_methods_are_told_before_one_logs_in(anonymous):
    answer = anonymous.options("/")
    assert (answer.status_code, answer.json()) == (200, ["basic"])


@pytest.mark.parametrize(("name", "password"), [("root", "wrong"), ("unknown", "secret"), ("", "")])
def test_wrong_credentials_are_one_answer(facade, name, password):
    with facade.client(name, password) as client:
        answer = client.get("/queue")
    assert answer.status_code == 401
    assert answer.text == "Please log in: the user name or the password is wrong or missing."


def test_too_many_failures_are_slowed_down(facade):
    with facade.client("guessed", "wrong") as client:
        answers = (client.get("/queue") for _ in range(100))
        delayed = next(answer for answer in answers if "retry-after" in answer.headers)
    assert delayed.status_code == 401
    assert int(delayed.headers["retry-after"]) > 0


def test_with_authentication_off_jobs_belong_to_the_name_that_is_said(tmp_path):
    with installation() as here, running(here, auth_disabled=True) as facade, facade.client(None) as client:
        assert client.options("/").json() == []
        job = client.post("/queue/default", json={"type": "command"}, headers={"X-Auth-User": "bob"}).json()
        assert client.get(f"/job/{job}").json()["user_name"] == "bob"
        answer = client.get("/queue", headers={"Origin": f"http://127.0.0.1:{facade.port}"})
        assert "access-control-allow-credentials" not in answer.headers


def test_an_unknown_host_is_400(facade, root):
    assert root.get("/queue", headers={"Host": "evil.example"}).status_code == 400
    assert root.get("/queue", headers={"Host": f"localhost:{facade.port}"}).status_code == 200
    assert raw(facade, b"OPTIONS / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    twice = b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
    assert raw(facade, twice).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://web.example.evil", "x"]
)
def test_a_foreign_page_may_change_nothing(root, queue, origin):
    headers = {"Origin": origin}
    assert root.post(f"/queue/{queue}", json={"type": "command"}, headers=headers).status_code == 403
    answer = root.get("/queue", headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert root.get(f"/queue/{queue}/jobs").json() == []


def test_allowed_pages_may_and_are_told_so_in_errors_too(facade, root, queue, anonymous):
    for origin in ("https://web.example", f"http://127.0.0.1:{facade.port}"):
        headers = {"Origin": origin}
        assert root.post(f"/queue/{queue}", json={"type": "command"}, headers=headers).status_code == 200
        for answer in (root.get("/queue", headers=headers), root.get("/gone", headers=headers),
                       anonymous.get("/queue", headers=headers)):  # fmt: skip
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/", "/queue/default", "/job/5/", "/nothing"])
def test_a_preflight_needs_no_login(anonymous, path):
    headers = {"Origin": "https://web.example", "Access-Control-Request-Method": "PUT"}
    answer = anonymous.options(path, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://web.example"
    assert set(answer.headers["access-control-allow-methods"].split(", ")) == {"GET", "POST", "PUT", "DELETE"}
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert allowed == {"Authorization", "Content-Type", "X-Auth-User"}
