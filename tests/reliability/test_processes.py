"""Processes that die or stand still at any moment. FAULTS.md: A3 A4 A5 A7 A8 A14 A15 A16 A17."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from batchd_api.db.tables import dispatchers
from batchd_api.recorder import Recorder
from batchd_api.world import DISPATCHER_ALIVE_SECONDS
from batchd_cli.errors import BatchError
from batchd_flows.job_types import OnFail
from batchd_flows.run import Outcome
from tests.acceptance.harness import until
from tests.prefect_server import PrefectServer
from tests.reliability.fail_points import FailPoint
from tests.reliability.harness import Forked, Site, site

pytestmark = pytest.mark.slow

BEFORE_START = FailPoint(target="batchd_flows.local_machine:LocalMachine.start")
UNKNOWN = "outcome unknown: the process is gone and left no exit code"
SLOT_SECONDS = 15


@pytest.fixture
def here(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, prefect_server) as here:
        yield here


def running(here: Site, **fields: Any) -> int:
    """A job that has begun, and ends once it is told to."""
    number = here.witness(**({"between": here.until_told()} | fields))
    here.begun(number)
    return number


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def stand_still(here: Site, daemon: Forked) -> None:
    """Stop it where it is in no transaction: SQLite would let nobody else write until it goes on."""

    def stopped() -> bool:
        daemon.send(signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(here.state / "batchd.db", timeout=0.5)) as database:
                database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            daemon.send(signal.SIGCONT)
            return False
        return True

    until(30, "a moment without a transaction", stopped)


def test_a3_a_job_whose_dispatcher_and_supervisor_were_killed_has_an_unknown_end(here: Site) -> None:
    first = here.start().ready()
    here.queue("single", max_jobs=1)
    lost = running(here, queue="single")
    first.kill()
    kill(here.supervisor(lost))
    here.start().wait_until_it_answers()
    after = here.witness(queue="single")
    row = here.status(lost, "Failed", seconds=SLOT_SECONDS)
    assert (row.reason_text, row.try_count) == (UNKNOWN, 1)
    here.status(after, "Done", seconds=SLOT_SECONDS)
    assert [attempt.exit_code for attempt in here.attempts(lost)] == [None]
    assert here.witnessed() == [("start", lost), ("start", after), ("end", after)]


def test_a4_it_is_tried_once_more_where_its_type_says_so_and_only_when_nothing_is_left(here: Site) -> None:
    first = here.start().ready()
    # What the first execution leaves behind ignores TERM: the second one has to wait for its KILL.
    stays = f"[ $BATCHD_ATTEMPT = 2 ] || {{ trap '' TERM; {here.until_told()}; }}"
    number = running(here, between=stays, type_name="again")
    first.kill()
    kill(here.supervisor(number))
    here.start()
    here.status(number, "Done")
    assert here.testimony() == [("start", number, 1), ("start", number, 2), ("end", number, 2)]
    assert [attempt.reason for attempt in here.attempts(number)] == [UNKNOWN, None]


def test_a5_a_dispatcher_killed_between_claim_and_start_starts_it_once_when_it_is_back(here: Site) -> None:
    first = here.start(fail=[BEFORE_START])
    first.wait_until_it_answers()
    number = here.witness()
    first.struck()
    assert here.starts() == []
    assert [run.shown for run in here.runs(number)] == ["PENDING"]
    here.start()
    here.status(number, "Done")
    assert here.starts() == [number]


@pytest.mark.slow  # it stands for longer than a dispatcher may be silent
def test_a7_a_dispatcher_that_stood_still_for_20_seconds_starts_nothing_twice(here: Site) -> None:
    here.start("manager").wait_until_it_answers()
    dispatcher = here.start("dispatcher").ready()
    number = running(here)
    stand_still(here, dispatcher)
    meanwhile = here.witness()

    def silent() -> bool:
        (row,) = here.rows(select(dispatchers))
        return bool(datetime.now(UTC) - row.seen_at > timedelta(seconds=DISPATCHER_ALIVE_SECONDS + 5))

    until(60, "its silence", silent)
    assert here.job(number).status == "Processing"
    assert here.starts() == [number]
    dispatcher.send(signal.SIGCONT)
    here.status(meanwhile, "Done")
    here.tell()
    here.status(number, "Done")


def test_a8_the_late_report_of_a_dispatcher_that_stood_still_is_refused(here: Site) -> None:
    """While it stands still, somebody gives its attempt up; then it goes on and sees the job's end."""
    here.start("manager").wait_until_it_answers()
    dispatcher = here.start("dispatcher")
    number = running(here)
    here.status(number, "Processing")
    stand_still(here, dispatcher)
    recorder = Recorder(here.database)
    (attempt,) = recorder.alive(here.attempts(number)[0].dispatcher)
    gone = Outcome(exit_code=None, reason="outcome unknown: its machine is gone")
    recorder.ended(attempt, gone, OnFail(), datetime.now(UTC))
    job, attempts = here.job(number), here.attempts(number)
    here.tell()
    until(60, "the job's own end", lambda: ("end", number) in here.witnessed())
    dispatcher.send(signal.SIGCONT)
    until(60, "the refusal", lambda: f"Attempt 1 of job {number} is not this dispatcher's" in here.said())
    here.status(here.witness(), "Done")
    assert here.attempts(number) == attempts
    assert (here.job(number).status, here.job(number).reason_text) == ("Failed", gone.reason)
    assert here.job(number).end_time == job.end_time


def test_a14_a_job_whose_facade_died_before_its_answer_starts_once_when_it_is_back(here: Site) -> None:
    first = here.start(fail=[FailPoint(target="batchd_api.services.jobs:Jobs.enqueue", moment="after")])
    first.wait_until_it_answers()
    with pytest.raises(BatchError):
        here.witness()
    first.struck()
    here.accepted.append(1)
    assert here.job(1).status in ("New", "Waiting")
    here.start()
    here.status(1, "Done")
    assert here.starts() == [1]


def test_a15_a_job_whose_facade_died_before_the_commit_never_was(here: Site) -> None:
    # The last step inside the transaction.
    first = here.start(fail=[FailPoint(target="batchd_api.services.autostart:look_at", moment="after")])
    first.wait_until_it_answers()
    with pytest.raises(BatchError):
        here.witness()
    first.struck()
    here.start().wait_until_it_answers()
    after = here.witness()
    here.status(after, "Done")
    assert here.starts() == [after]
    assert list(here.statuses([1, 2])) == [after]


def test_a16_after_a_restart_each_job_is_where_its_status_says(here: Site) -> None:
    third_start = FailPoint(target=BEFORE_START.target, nth=3)
    first = here.start(fail=[third_start]).ready()
    here.queue("shut", enabled=False)
    new = here.witness(queue="shut")
    postponed = here.witness(status="Postponed")
    goes_on, is_lost = running(here), running(here)
    held = here.job(postponed)
    waiting = here.witness()
    first.struck()
    kill(here.supervisor(is_lost))
    statuses = here.statuses([new, postponed, goes_on, is_lost, waiting])
    assert list(statuses.values()) == ["New", "Postponed", "Processing", "Processing", "Waiting"]
    here.start().ready()
    here.status(waiting, "Done")
    here.status(is_lost, "Failed")
    assert here.job(goes_on).status == "Processing"
    here.tell()
    here.status(goes_on, "Done")
    assert here.job(new).status == "New"
    assert (here.job(postponed).status, here.job(postponed).seq) == ("Postponed", held.seq)
    assert sorted(here.starts()) == [goes_on, is_lost, waiting]


@contextmanager
def stranger() -> Iterator[int]:
    """Somebody else's process."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        yield process.pid
        assert process.poll() is None, "it was taken for the job's"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["another boot", "the same boot"])
def test_a17_a_stranger_with_the_old_process_id_is_not_the_job(here: Site, kind: str) -> None:
    first = here.start().ready()
    number = running(here)
    first.kill()
    supervisor, birth, boot = (here.attempt_folder(number) / "pid").read_text().split()
    commands = [pid for pid in here.processes() if pid != int(supervisor)]
    for pid in (int(supervisor), *commands):
        kill(pid)
    until(10, "the end of all", lambda: not here.processes())
    with stranger() as pid:
        if kind == "another boot":  # and there it has even the same birthday
            birth = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
            boot = "00000000-0000-4000-8000-000000000000"
        for name, text in (("pid", f"{pid} {birth} {boot}"), ("job", f"{pid} {birth}")):
            (here.attempt_folder(number) / name).write_text(f"{text}\n")
        here.start()
        assert here.status(number, "Failed").reason_text == UNKNOWN
    assert here.starts() == [number]
