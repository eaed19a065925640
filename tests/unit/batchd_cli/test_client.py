"""The client against recorded answers: paths, bodies, records, errors, the connection."""

import base64
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

import batchd_cli
from batchd_cli.client import Client, Schedule, basic, user_header
from batchd_cli.common import Common
from batchd_cli.connection import IDLE_SECONDS, Tls
from batchd_cli.errors import (
    ConfigError,
    Forbidden,
    ForceNeeded,
    InvalidName,
    NotFound,
    ProtocolError,
    ServerError,
    Unauthorized,
    Unreachable,
)
from batchd_cli.records import Period
from batchd_cli.session import Session

from .conftest import COMMAND_TYPE, JOB, QUEUE, Manager

NAME = "a/b ночь ?#%&"
ENCODED = "a%2Fb%20%D0%BD%D0%BE%D1%87%D1%8C%20%3F%23%25%26"


@pytest.fixture
def client(manager: Manager) -> Iterator[Client]:
    with Client(manager.url) as opened:
        yield opened


CALLS: dict[str, tuple[Callable[[Client], object], object]] = {
    "GET /queue/{}": (lambda client: client.queue(NAME), QUEUE),
    "PUT /queue/{}": (lambda client: client.update_queue(NAME, title="x"), "done"),
    "DELETE /queue/{}": (lambda client: client.delete_queue(NAME), "done"),
    "DELETE /queue/{}?forced=true": (lambda client: client.delete_queue(NAME, forced=True), "done"),
    "GET /queue/{}/jobs": (lambda client: client.jobs(NAME), [JOB]),
    "GET /queue/{}/jobs?status=failed": (lambda client: client.jobs(NAME, status="Failed"), []),
    "POST /queue/{}": (lambda client: client.enqueue(NAME, "command", {}), 18),
    "GET /stats/{}": (lambda client: client.queue_stats(NAME), {"new": 1}),
    "DELETE /schedule/{}": (lambda client: client.delete_schedule(NAME), "done"),
    "GET /type/{}": (lambda client: client.job_type(NAME), COMMAND_TYPE),
    "PUT /user/{}": (lambda client: client.set_password(NAME, "x"), "done"),
    "GET /user/{}/permissions": (lambda client: client.permissions(NAME), []),
    "DELETE /user/{}/permissions/3": (lambda client: client.revoke(NAME, 3), "done"),
    "GET /monitor/{}/last": (lambda client: client.last_metric(NAME), {}),
}


@pytest.mark.parametrize("line", CALLS)
def test_any_name_goes_percent_encoded_into_the_path(line: str, client: Client, manager: Manager) -> None:
    call, answer = CALLS[line]
    method, path = line.format(ENCODED).split(" ")
    manager.answer(method, path, answer)
    call(client)
    assert [(one.method, one.path) for one in manager.requests] == [(method, path)]


def test_an_empty_name_is_not_sent(client: Client, manager: Manager) -> None:
    with pytest.raises(InvalidName):
        client.delete_queue("")
    assert manager.requests == []


def test_the_class_is_where_people_look_for_it_and_is_the_one_under_the_command_line() -> None:
    assert batchd_cli.Client is Client
    assert set(batchd_cli.__all__) >= {"BatchError", "Client", "JobHandle", "basic"}
    assert all(getattr(batchd_cli, name) for name in batchd_cli.__all__)
    assert isinstance(Session(Common()).connect(), Client)


def test_a_new_job_is_in_hand(manager: Manager) -> None:
    manager.answer("POST", "/queue/night", 18)
    manager.answer("GET", "/job/18", JOB | {"id": 18, "status": "Done", "exit_code": 0})
    with Client(manager.url) as client:
        job = client.enqueue("night", "command", {"command": "true"})
        assert (job.id, job.wait(10).exit_code, job.job().ended) == (18, 0, True)


def test_a_job_is_a_record_with_aware_times(client: Client, manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB | {"start_time": "2026-11-24T03:01:43Z", "a_new_key": [1]})
    job = client.job(17)
    assert (job.id, job.queue, job.params["args"]) == (17, "night", "hello world")
    assert job.create_time == datetime(2026, 11, 24, 3, 1, 43, 544300, tzinfo=UTC)
    assert job.start_time == datetime(2026, 11, 24, 3, 1, 43, tzinfo=UTC)
    with pytest.raises(AttributeError):
        job.id = 1  # type: ignore[misc]


def test_enqueue_sends_only_what_is_given(client: Client, manager: Manager) -> None:
    manager.answer("POST", "/queue/night", 18)
    assert client.enqueue("night", "command", {"command": "true"}).id == 18
    start = datetime(2026, 11, 24, 22, tzinfo=UTC)
    client.enqueue("night", "command", {}, host_name="h", start_time=start, notes="n")
    assert [one.body for one in manager.requests] == [
        {"type": "command", "params": {"command": "true"}},
        {
            "type": "command",
            "params": {},
            "host_name": "h",
            "start_time": "2026-11-24T22:00:00.000000Z",
            "notes": "n",
        },
    ]


def test_a_schedule_goes_there_and_back(client: Client, manager: Manager) -> None:
    body = {"name": "n", "weekdays": ["Monday"], "time": [{"begin": "22:00:00", "end": "06:00:00"}]}
    schedule = Schedule(name="n", weekdays=("Monday",), time=(Period(begin="22:00:00", end="06:00:00"),))
    manager.answer("POST", "/schedule", "n")
    manager.answer("GET", "/schedule", [body, {"name": "anytime", "weekdays": None, "time": None}])
    assert client.create_schedule(schedule) == "n"
    assert manager.requests[0].body == body
    assert client.schedules() == [schedule, Schedule(name="anytime")]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ServerError), (401, Unauthorized), (403, Forbidden), (404, NotFound), (409, ServerError)],
)
def test_a_refusal_carries_code_and_sentence(
    status: int, kind: type[ServerError], client: Client, manager: Manager
) -> None:
    manager.answer("GET", "/job/1", "There is no job 1, «ночь».", status)
    with pytest.raises(kind) as caught:
        client.job(1)
    assert (caught.value.status, caught.value.sentence) == (status, "There is no job 1, «ночь».")


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ('There is no host named "nohost".', 5),
        ('There is no job type named "nope".', 5),
        ('There is no status "lost"; the statuses are New.', 1),
        ('The value of "no host named" is too long.', 1),
    ],
)
def test_an_order_that_names_an_unknown_thing_is_not_found(
    sentence: str, code: int, client: Client, manager: Manager
) -> None:
    manager.answer("POST", "/queue/night", sentence, 400)
    with pytest.raises(ServerError) as caught:
        client.enqueue("night", "command", {})
    assert (caught.value.exit_code, caught.value.status) == (code, 400)


def test_a_page_is_not_a_sentence(client: Client, manager: Manager) -> None:
    manager.answer("GET", "/job/1", "<html>Bad gateway</html>", 502)
    with pytest.raises(ServerError, match="HTTP status 502"):
        client.job(1)


def test_the_refusal_that_force_would_answer_is_its_own(client: Client, manager: Manager) -> None:
    manager.answer("DELETE", "/queue/night", "The queue night has jobs; use ?forced=true.", 403)
    with pytest.raises(ForceNeeded):
        client.delete_queue("night")


def test_a_name_with_force_in_it_is_no_such_refusal(client: Client, manager: Manager) -> None:
    manager.answer("DELETE", "/queue/task-force", "You may not manage the queue task-force.", 403)
    with pytest.raises(Forbidden) as caught:
        client.delete_queue("task-force")
    assert not isinstance(caught.value, ForceNeeded)


@pytest.mark.parametrize("answer", [[], "x", None, {"id": 17}, JOB | {"create_time": "yesterday"}])
def test_an_answer_that_is_no_job_is_a_protocol_error(
    answer: object, client: Client, manager: Manager
) -> None:
    manager.answer("GET", "/job/17", answer)
    with pytest.raises(ProtocolError):
        client.job(17)


def test_an_answer_that_is_not_json_is_a_protocol_error(client: Client, manager: Manager) -> None:
    manager.answers["GET", "/queue"] = 200, "<html>Some other server</html>"
    with pytest.raises(ProtocolError):
        client.queues()


def test_requests_share_a_connection_until_it_has_been_idle(
    client: Client, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.answer("GET", "/host", [])
    client.hosts(), client.hosts()
    client._connection._last_used -= IDLE_SECONDS + 1
    client.hosts()
    first, second, third = (one.connection for one in manager.requests)
    assert first == second != third


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r": connection refused$") as caught:
            Client(url).queues()
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:9681", "ftp://host", "http://", "http://host:x", "http://me:secret@host"]
)
def test_an_address_that_is_none_is_a_config_error_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


def test_a_final_slash_and_a_path_of_the_address_hold(manager: Manager) -> None:
    manager.answer("GET", "/batchd/host", [])
    with Client(manager.url + "/batchd/") as client:
        assert client.hosts() == []


def test_credentials_go_as_utf8(manager: Manager) -> None:
    manager.answer("GET", "/host", [])
    with Client(manager.url, auth=basic("анна", "пароль:x") | user_header("анна")) as client:
        client.hosts()
    headers = manager.requests[0].headers
    assert base64.b64decode(headers["Authorization"].split()[1]).decode() == "анна:пароль:x"
    assert headers["X-Auth-User"].encode("latin-1").decode() == "анна"


def test_a_certificate_that_is_not_there_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="/nowhere/ca"):
        Client("https://localhost:1", tls=Tls(ca_certificate="/nowhere/ca.pem"))
