"""A job followed and waited for: events, broken connections, a manager that is away."""

from http.client import HTTPConnection, HTTPResponse

import pytest

from batchd_cli import streaming, waiting
from batchd_cli.client import Client, Job, OutputEvent, Reason, StatusEvent
from batchd_cli.errors import NotFound, ProtocolError, TimedOut, Unreachable
from batchd_cli.streaming import Patience, ServerSent, parse

from .conftest import END_EVENT, JOB, Manager, output_event, status_event

DONE = JOB | {"status": "Done", "exit_code": 0}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "FIRST_LOOK_SECONDS", 0.01)


def test_an_event_is_what_stands_before_an_empty_line() -> None:
    lines = [": alive", "", "id: 7", "event: output", "data: a", "data: b", "", "event: end", "", "data: cut"]
    assert list(parse(iter(lines))) == [
        ServerSent(kind="output", data="a\nb", id="7"),
        ServerSent(kind="end", data="", id="7"),
    ]


@pytest.mark.usefixtures("_quick")
def test_output_and_changes_come_as_records_until_the_end(manager: Manager) -> None:
    reason = {"code": "window", "text": "closed", "until": None}
    manager.stream(
        17,
        [
            status_event("New", reason=reason),
            output_event("line\n"),
            ": still alive",
            "event: of another kind\ndata: {}",
            status_event("Done", exit_code=0),
            END_EVENT,
        ],
    )
    with Client(manager.url) as client:
        events = list(client.handle(17).follow())
    assert events == [
        StatusEvent(status="New", attempt=1, reason=Reason(code="window", text="closed")),
        OutputEvent(attempt=1, stream="stdout", offset=0, text="line\n"),
        StatusEvent(status="Done", attempt=1, exit_code=0),
    ]


@pytest.mark.usefixtures("_quick")
def test_a_broken_connection_is_taken_up_after_the_last_event(manager: Manager) -> None:
    manager.stream(17, [output_event("a")], [output_event("b", offset=1), END_EVENT])
    with Client(manager.url) as client:
        texts = [event.text for event in client.follow(17) if isinstance(event, OutputEvent)]
    assert texts == ["a", "b"]
    first, second = (one.headers for one in manager.requests)
    assert "Last-Event-ID" not in first
    assert second["Last-Event-ID"] == "1-0-stdout"


class Interrupted(HTTPResponse):
    """Ctrl-C comes while an answer is being closed: in a finalizer Python would swallow it."""

    def close(self) -> None:
        super().close()
        raise KeyboardInterrupt


def test_a_ctrl_c_while_a_stream_that_was_cut_is_closed_is_not_lost(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HTTPConnection, "response_class", Interrupted)
    manager.stream(17, [output_event("a")], [output_event("b", offset=1), END_EVENT])
    events = Client(manager.url).follow(17)
    next(events)
    with pytest.raises(KeyboardInterrupt):
        next(events)


def test_a_job_that_is_not_there_is_not_followed(manager: Manager) -> None:
    manager.answer("GET", "/job/17/stream", "There is no job 17.", 404)
    with Client(manager.url) as client, pytest.raises(NotFound):
        list(client.follow(17))


@pytest.mark.usefixtures("_quick")
def test_an_event_that_is_none_is_a_protocol_error(manager: Manager) -> None:
    manager.stream(17, ["event: status\ndata: {"])
    with Client(manager.url) as client, pytest.raises(ProtocolError):
        list(client.follow(17))


@pytest.mark.usefixtures("_quick")
def test_a_submitted_job_is_waited_for(manager: Manager) -> None:
    manager.answer("POST", "/queue/night", 17)
    manager.answer_in_turn("GET", "/job/17", JOB, JOB | {"status": "Processing"}, DONE)
    with Client(manager.url) as client:
        assert client.enqueue("night", "command", {}).wait() == Job.from_json(DONE)


@pytest.mark.usefixtures("_quick")
def test_waiting_ends_when_its_time_has_passed(manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB)
    with Client(manager.url) as client, pytest.raises(TimedOut, match="job 17 has not ended"):
        client.handle(17).wait(timeout_seconds=0.05)


def test_patience_is_for_one_that_has_answered_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FIRST_PAUSE_SECONDS", 0.01)
    away = Unreachable("http://x", "refused")
    with pytest.raises(Unreachable):
        Patience().bear(away)
    patient = Patience()
    patient.answered()
    patient.bear(away)
    with pytest.raises(NotFound):
        patient.bear(NotFound(404, "gone"))
    short = Patience(seconds=-1)
    short.answered()
    with pytest.raises(Unreachable):
        short.bear(away)


@pytest.mark.parametrize(
    ("status", "code", "own"),
    [
        ("Done", 0, 0),
        ("Failed", 3, 3),
        ("Failed", None, 1),
        ("Failed", 0, 1),
        ("Failed", -9, 1),
        ("Failed", 300, 1),
    ],
)
def test_a_jobs_own_code_is_one_that_a_process_can_end_with(status: str, code: int | None, own: int) -> None:
    assert waiting.own_code(Job.from_json(JOB | {"status": status, "exit_code": code})) == own
