"""A dispatcher that is given up, on every kind of database; and what it finds when it returns nonetheless."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, update

from batchd_api.admin import main
from batchd_api.checkup import _silent
from batchd_api.db.clock import database_now
from batchd_api.db.host_tables import hosts
from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, jobs, notifications
from batchd_api.db.upgrade import upgrade
from batchd_api.errors import Invalid
from batchd_api.forgetting import DispatcherLives, Forgetting
from batchd_api.outbox import Outbox
from batchd_api.recorder import OldToken, Recorder
from batchd_api.services.installation import ensure_first_rows
from batchd_api.startup import dispatcher_name
from batchd_api.world import beat
from batchd_flows.job_types import COMMAND, JobType, JobTypes, OnFail, RetryWhen
from batchd_flows.run import Outcome
from tests.ground import NOW, Installation

AGAIN = JobType(name="again", template=("true",), on_fail=OnFail(when=RetryWhen.NOW, count=1))
LATER = JobType(name="later", template=("true",), on_fail=OnFail(when=RetryWhen.LATER, count=1))
TYPES = JobTypes([COMMAND, AGAIN, LATER])
UNKNOWN = "outcome unknown: its dispatcher d was given up"


def forgetting(here: Installation, outbox: Outbox | None = None) -> Forgetting:
    return Forgetting(here.database, TYPES, lambda: here.now, outbox)


def running(here: Installation, type_name: str = "command", **values: Any) -> int:
    """By the dispatcher `d`, unless said otherwise."""
    job_id = here.enqueue()
    here.attempt(job_id, **values)
    here.set_job(job_id, status="Processing", type_name=type_name)
    return job_id


def falls_silent(here: Installation, name: str = "d") -> None:
    """It was seen a minute ago, by the database's clock and by ours."""
    here.dispatcher(name)
    with here.database.write() as connection:
        now = min(database_now(connection), here.now)
        row = update(dispatchers).where(dispatchers.c.name == name)
        connection.execute(row.values(seen_at=now - timedelta(minutes=1)))


def living(here: Installation) -> int:
    return here.count(attempts, IS_ALIVE)


def test_its_jobs_have_an_unknown_end_and_hold_no_slot(everywhere: Installation) -> None:
    falls_silent(everywhere)
    started, taken, others = running(everywhere), running(everywhere, state="taken"), running(everywhere)
    everywhere.set_attempt(others, dispatcher="other")
    estate = forgetting(everywhere).estate("d")
    assert living(everywhere) == 3, "to look changes nothing"
    assert [*estate.sentences()][1:] == [
        f"job {started} (command): Failed, outcome unknown",
        f"job {taken} (command): Failed, outcome unknown",
    ]
    assert forgetting(everywhere).forget(estate) == 2
    for job_id in (started, taken):
        row = everywhere.row(job_id)
        assert (row.status, row.reason_code, row.reason_text) == ("Failed", "failed", UNKNOWN)
        assert row.try_count == 1
        with everywhere.database.read() as connection:
            mine = select(attempts.c.state, attempts.c.exit_code).where(attempts.c.job_id == job_id)
            assert tuple(connection.execute(mine).one()) == ("ended", None)
    assert everywhere.row(others).status == "Processing"
    assert living(everywhere) == 1
    assert everywhere.count(dispatchers) == 0


def test_only_what_its_type_says_is_tried_again(everywhere: Installation) -> None:
    falls_silent(everywhere)
    now, spent, cancelled = (running(everywhere, "again") for _ in range(3))
    later, stays = running(everywhere, "later"), everywhere.enqueue()
    gone = running(everywhere, "no such type")
    everywhere.set_job(spent, try_count=1)
    everywhere.set_attempt(cancelled, cancel_requested_at=NOW, cancelled_by="ann")
    estate = forgetting(everywhere).estate("d")
    assert [*estate.sentences()][1:] == [
        f"job {now} (again): New again at its place, as its type's on_fail says",
        f"job {spent} (again): Failed, outcome unknown",
        f"job {cancelled} (again): Failed, cancelled",
        f"job {later} (later): New again at the end of its queue, as its type's on_fail says",
        f"job {gone} (no such type): Failed, outcome unknown",
    ]
    forgetting(everywhere).forget(estate)
    statuses = [everywhere.row(number).status for number in (now, spent, cancelled, later, gone)]
    assert statuses == ["New", "Failed", "Failed", "New", "Failed"]
    assert everywhere.row(cancelled).reason_text == "cancelled by ann"
    assert everywhere.row(later).seq > everywhere.row(stays).seq > everywhere.row(now).seq


def test_one_that_is_alive_is_refused_and_so_is_one_that_nobody_knows(everywhere: Installation) -> None:
    everywhere.dispatcher("d")
    running(everywhere)
    with pytest.raises(DispatcherLives, match="The dispatcher d is alive: stop it where it runs"):
        forgetting(everywhere).estate("d")
    with pytest.raises(Invalid, match='There is no dispatcher "x"; known are d'):
        forgetting(everywhere).estate("x")
    assert living(everywhere) == 1


def test_one_that_returns_meanwhile_keeps_what_it_has_left(everywhere: Installation) -> None:
    """Between the look and the deed, say while a person is asked."""
    falls_silent(everywhere)
    job_id = running(everywhere)
    estate = forgetting(everywhere).estate("d")
    everywhere.dispatcher("d")
    with pytest.raises(DispatcherLives):
        forgetting(everywhere).forget(estate)
    assert (everywhere.row(job_id).status, living(everywhere)) == ("Processing", 1)
    assert everywhere.count(dispatchers) == 1


def test_what_it_reports_when_it_returns_is_refused_and_it_takes_new_jobs(everywhere: Installation) -> None:
    falls_silent(everywhere)
    job_id = running(everywhere, "again")
    recorder = Recorder(everywhere.database)
    (late,) = recorder.alive("d")
    forgetting(everywhere).forget(forgetting(everywhere).estate("d"))
    before = everywhere.row(job_id)
    with pytest.raises(OldToken):
        recorder.ended(late, Outcome(exit_code=0), OnFail(), NOW)
    with pytest.raises(OldToken):
        recorder.started(late, NOW)
    assert everywhere.row(job_id) == before
    assert recorder.alive("d") == []
    assert not beat(everywhere.database, "d", 1, None, everywhere.now)
    assert everywhere.count(dispatchers) == 1


def test_its_hosts_are_another_ones_and_who_is_to_know_of_the_end_is_told(everywhere: Installation) -> None:
    falls_silent(everywhere)
    with everywhere.database.write() as connection:
        connection.execute(insert(hosts).values(name="farm", phase="ready", carer="d", ours=True))
        connection.execute(insert(hosts).values(name="lab", phase="ready", carer="other"))
    job_id = running(everywhere, host_name="farm")
    everywhere.set_job(job_id, notify=[{"event": "fail", "target": "mail"}])
    outbox = Outbox(everywhere.database, TYPES, ("mail",), "http://here")
    estate = forgetting(everywhere, outbox).estate("d")
    assert [*estate.sentences()][1:] == [
        f"job {job_id} (command on host farm): Failed, outcome unknown",
        "host farm: another dispatcher starts and stops it from now on",
    ]
    forgetting(everywhere, outbox).forget(estate)
    with everywhere.database.read() as connection:
        query = select(hosts.c.name, hosts.c.carer, hosts.c.ours).order_by(hosts.c.name)
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [("farm", None, True), ("lab", "other", False)]
    assert everywhere.count(notifications) == 1


def test_a_job_that_was_deleted_is_gone_with_it(everywhere: Installation) -> None:
    falls_silent(everywhere)
    job_id = running(everywhere)
    with everywhere.database.write() as connection:
        connection.execute(jobs.delete().where(jobs.c.id == job_id))
    estate = forgetting(everywhere).estate("d")
    assert [*estate.sentences()][1:] == [f"job {job_id} (deleted): gone"]
    forgetting(everywhere).forget(estate)
    assert everywhere.count(attempts) == 0


def test_the_doctor_names_one_that_is_silent_and_still_has_jobs(everywhere: Installation) -> None:
    falls_silent(everywhere)
    falls_silent(everywhere, "idle")
    first, second = running(everywhere), running(everywhere)
    with everywhere.database.read() as connection:
        (finding,) = _silent(connection, everywhere.now)
    assert f"and jobs of it have not ended ({first}, {second})" in finding.text
    assert "batchd-admin forget-dispatcher d" in finding.text


@pytest.fixture
def admin(tmp_path):
    (tmp_path / "batchd.yaml").write_text(f"state_directory: {tmp_path / 'state'}\n")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "jobtypes").mkdir()
    (tmp_path / "jobtypes" / "again.yaml").write_text(
        "name: again\ntemplate: 'true'\non_fail: {retry: {when: now, count: 1}}\n"
    )

    def run(*arguments, **fields):
        command = ["-c", str(tmp_path / "batchd.yaml"), "forget-dispatcher", *arguments]
        return CliRunner().invoke(main, command, **fields)

    return run


@pytest.fixture
def installed(admin, tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'state' / 'batchd.db'}")
    upgrade(database)
    with database.write() as connection:
        ensure_first_rows(connection, NOW)
    yield Installation(database)
    database.close()


def test_the_command_says_what_it_will_do_asks_and_does_it(admin, installed):
    falls_silent(installed)
    failed, again = running(installed), running(installed, "again")
    lines = [
        f"job {failed} (command): Failed, outcome unknown",
        f"job {again} (again): New again at its place, as its type's on_fail says",
    ]
    dry = admin("d", "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()[1:]) == (0, lines)
    assert dry.stdout.startswith("The dispatcher d was last seen 20")
    assert "2 of its jobs have not ended." in dry.stdout
    refused = admin("d", input="n\n")
    assert (refused.exit_code, refused.stderr) == (1, "batchd-admin: Nothing was changed.\n")
    assert living(installed) == 2
    done = admin("d", input="y\n")
    assert done.exit_code == 0
    assert done.stdout.endswith("The dispatcher d is forgotten; 2 jobs were given up.\n")
    assert [installed.row(number).status for number in (failed, again)] == ["Failed", "New"]


def test_the_command_refuses_its_own_and_what_there_is_not(admin, installed, tmp_path):
    own = dispatcher_name(tmp_path / "state")
    for name, sentence in (
        (own, f"{own} is this configuration's own: start it, and it finds what became of its jobs."),
        ("x", 'There is no dispatcher "x"; none is known.'),
    ):
        result = admin(name, "--yes")
        assert (result.exit_code, result.stderr) == (1, f"batchd-admin: {sentence}\n")


def test_no_database_is_made_or_upgraded_for_it(admin):
    assert admin("d", "--yes").exit_code == 2
