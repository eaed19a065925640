"""Who is told of what, on each kind of database; and that telling hurts nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from batchd_api.db.tables import notifications
from batchd_api.errors import Invalid
from batchd_api.notifier import Notifier
from batchd_api.outbox import LEASE, PAUSES, Message, Outbox
from batchd_api.recorder import Recorder
from batchd_api.schemas import new_job, new_queue, queue_change
from batchd_api.services.notices import stored
from batchd_api.services.queues import Queues
from batchd_api.services.run_times import note_run_time
from batchd_flows.job_types import COMMAND, JobType, JobTypes, OnFail, RetryWhen
from batchd_flows.notices import Notice, NoticeError, NoticeEvent, parse_notices
from batchd_flows.run import Outcome
from tests.ground import NOW, ROOT, Installation

SECOND = timedelta(seconds=1)
TARGETS = ("ops", "ann")
TOLD = JobType(name="told", template=("true",), notify=parse_notices(["fail,done:ops"]))
FAILED, DONE = Outcome(exit_code=3, ended_at=NOW), Outcome(exit_code=0, ended_at=NOW)


class Post:
    """An installation whose ends are written into the outbox."""

    def __init__(self, here: Installation, targets: tuple[str, ...] = TARGETS) -> None:
        self.here = here
        self.box = Outbox(here.database, JobTypes([COMMAND, TOLD]), targets, "http://x")
        self.recorder = Recorder(here.database, self.box)

    def job(self, *notices: str, type_name: str = "command", **attempt: Any) -> int:
        job_id = self.here.enqueue()
        self.here.attempt(job_id, **attempt)
        rows = stored(parse_notices(notices), TARGETS)
        self.here.set_job(job_id, type_name=type_name, status="Processing", notify=rows)
        return job_id

    def end(self, job_id: int, outcome: Outcome, on_fail: OnFail | None = None) -> None:
        (attempt,) = [one for one in self.recorder.alive("d") if one.job_id == job_id]
        self.recorder.ended(attempt, outcome, on_fail or OnFail(), NOW)

    def messages(self, after: timedelta = timedelta()) -> list[Message]:
        return self.box.take(NOW + after, 10)

    def told(self) -> list[tuple[str, str]]:
        return [(one.target, one.title) for one in self.messages()]


@pytest.fixture
def post(here: Installation) -> Post:
    return Post(here)


def test_an_end_is_told_to_who_asked_for_it_with_the_last_lines(everywhere: Installation) -> None:
    post = Post(everywhere)
    failed = post.job("fail,done:ops", stdout=[b"".join(b"line %d\n" % n for n in range(100))])
    done = post.job("done:ann", "fail:ops")
    post.end(failed, FAILED)
    post.end(done, DONE)
    first, second = post.messages()
    assert (first.target, second.target) == ("ops", "ann")
    assert first.title == f"batchd: job #{failed} failed: exit code 3 (command in default)"
    assert first.body.splitlines()[1] == f"http://x/#/job/{failed}"
    assert first.body.splitlines()[-1] == "line 99"
    assert "line 79\n" not in first.body
    assert second.title == f"batchd: job #{done} is done (command in default)"


def test_one_message_a_target_however_often_it_was_asked_for(post: Post) -> None:
    rows = stored(parse_notices(["fail:ops", "fail:ann"]), TARGETS)
    post.here.set_queue("default", notify=rows)
    post.end(post.job("fail:ops", type_name="told"), FAILED)
    assert sorted(target for target, _ in post.told()) == ["ann", "ops"]


def test_what_is_tried_again_or_was_cancelled_is_no_news(post: Post) -> None:
    again, cancelled = post.job("fail,done:ops"), post.job("fail,done:ops")
    post.end(again, FAILED, OnFail(when=RetryWhen.NOW, count=1))
    (attempt,) = post.recorder.alive("d")
    post.recorder.request_cancel(attempt, "ann", NOW)
    post.end(cancelled, replace(FAILED, reason="cancelled"))
    assert post.told() == []


def test_an_empty_queue_is_told_once_its_last_job_has_ended(everywhere: Installation) -> None:
    post = Post(everywhere)
    everywhere.set_queue("default", notify=stored(parse_notices(["queue-empty:ops"]), TARGETS))
    first, second = post.job(), post.job()
    post.end(first, DONE)
    assert post.told() == []
    post.end(second, FAILED)
    ((target, title),) = post.told()
    assert target == "ops"
    assert title == f"batchd: queue default is empty: its last job, #{second}, is Failed"


def test_who_runs_twice_as_long_as_usual_is_told_once(everywhere: Installation) -> None:
    post = Post(everywhere)
    with everywhere.database.write() as connection:
        note_run_time(connection, "command", None, 600, succeeded=True)
    post.job("long:ops")
    post.job()  # nobody asked
    assert post.box.note_long(NOW + 1199 * SECOND) == 0
    post.box.note_long(NOW + 1260 * SECOND)
    post.box.note_long(NOW + 1300 * SECOND)
    (message,) = post.messages(1300 * SECOND)
    assert "has run for 21 min; usual is 10 min" in message.title


def test_what_nobody_knows_the_usual_time_of_is_never_long(post: Post) -> None:
    post.job("long:ops")
    assert post.box.note_long(NOW + timedelta(days=30)) == 0


def test_a_message_is_one_ones_for_a_while_and_another_ones_then(everywhere: Installation) -> None:
    post = Post(everywhere)
    post.end(post.job("fail:ops"), FAILED)
    assert len(post.messages()) == 1
    assert Post(everywhere).messages() == []
    assert len(Post(everywhere).messages(LEASE)) == 1


def test_an_untold_message_is_tried_again_with_growing_pauses_and_given_up(everywhere: Installation) -> None:
    post = Post(everywhere)
    post.end(post.job("fail:ops"), FAILED)
    now = NOW
    for pause in PAUSES:
        (message,) = post.box.take(now, 10)
        assert not message.last_try
        post.box.not_told(message, now)
        assert post.box.take(now + pause - SECOND, 10) == []
        now += pause
    (message,) = post.box.take(now, 10)
    assert message.last_try
    post.box.not_told(message, now)
    assert everywhere.count(notifications) == 0


def test_without_targets_nothing_is_written(here: Installation) -> None:
    post = Post(here, targets=())
    post.end(post.job("fail:ops"), FAILED)
    assert here.count(notifications) == 0


def test_a_target_that_went_from_the_configuration_is_passed_over(here: Installation) -> None:
    post = Post(here, targets=("ann",))
    post.end(post.job("fail:ops", "fail:ann"), FAILED)
    assert [target for target, _ in post.told()] == ["ann"]


def test_the_only_target_needs_no_name(here: Installation) -> None:
    assert stored([Notice(event=NoticeEvent.FAIL)], ["ops"]) == [{"event": "fail", "target": "ops"}]
    with pytest.raises(Invalid, match="Who shall be told"):
        stored([Notice(event=NoticeEvent.FAIL)], TARGETS)
    with pytest.raises(Invalid, match='no target "nobody"'):
        stored(parse_notices(["fail:nobody"]), TARGETS)
    with pytest.raises(Invalid, match=r"no notify\.targets"):
        stored(parse_notices(["fail"]), ())


@pytest.mark.parametrize("text", ["", "explode", "fail,", "fail:", ":ops", "fail;done"])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(NoticeError):
        parse_notices([text])


@pytest.mark.parametrize("value", [5, {"fail": "ops"}, [1], ["fail"] * 21, "explode"])
def test_bodies_that_say_it_wrongly_are_invalid(value: object) -> None:
    with pytest.raises(Invalid, match="notify"):
        new_job({"type": "command", "notify": value})


def test_a_queue_keeps_shows_and_loses_its_wishes(here: Installation) -> None:
    queues = Queues(replace(here.ground, notify_targets=TARGETS))
    queues.create(ROOT, new_queue({"name": "q", "notify": "fail,done:ops"}))
    assert queues.get("q")["notify"] == ["fail:ops", "done:ops"]
    queues.change(ROOT, "q", queue_change({"notify": ["queue-empty:ann"]}))
    assert queues.get("q")["notify"] == ["queue-empty:ann"]
    queues.change(ROOT, "q", queue_change({"notify": None}))
    assert queues.get("q")["notify"] == ["queue-empty:ann"]
    queues.change(ROOT, "q", queue_change({"notify": []}))
    assert queues.get("q")["notify"] is None


class Sender:
    """Notes what it is given; `blocks` holds it until it is set."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.blocks = threading.Event()
        self.answer: bool | Exception = True

    def __call__(self, url: str, message: Message) -> bool:
        self.sent.append(message.title)
        self.blocks.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def notifier(post: Post, sender: Sender) -> Notifier:
    targets = {name: SecretStr(f"json://{name}") for name in TARGETS}
    return Notifier(post.box, targets, send=sender, clock=lambda: NOW)


@pytest.mark.anyio
async def test_a_target_that_hangs_holds_nobody_up_and_few_threads(post: Post) -> None:
    sender = Sender()
    made = notifier(post, sender)
    for _ in range(10):
        post.end(post.job("fail:ops"), FAILED)
    began = time.monotonic()
    for _ in range(3):
        await made.step()
    assert time.monotonic() - began < 10
    await _until(lambda: len(sender.sent) == 4)
    sender.blocks.set()
    await made.settle()
    for _ in range(2):
        await made.step()
        await made.settle()
    assert len(sender.sent) == len(set(sender.sent)) == 10
    assert post.here.count(notifications) == 0


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [False, OSError("no route, and a secret: json://ops")])
async def test_a_target_that_fails_is_asked_again_and_its_address_is_not_said(
    post: Post, caplog: pytest.LogCaptureFixture, answer: bool | Exception
) -> None:
    sender = Sender()
    sender.answer = answer
    sender.blocks.set()
    made = notifier(post, sender)
    post.end(post.job("fail:ops"), FAILED)
    await made.step()
    await made.settle()
    assert post.here.count(notifications, notifications.c.tries == 1) == 1
    assert "json://" not in caplog.text


async def _until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
