"""The memory of the host pool, on every kind of database."""

from __future__ import annotations

import threading
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from batchd_api.db.clock import moment
from batchd_api.db.host_tables import hosts
from batchd_api.db.tables import attempts, dispatchers, installation
from batchd_api.errors import NotFound
from batchd_api.host_ledger import DatabaseLedger
from batchd_api.services.health import Health
from batchd_api.services.hosts import NO_FILE, HostStates
from batchd_infra.host_ledger import HostEntry, HostPhase, Use, Wish
from tests.ground import NOW, Installation

FULL = HostEntry(
    name="farm", phase=HostPhase.FAILED, ours=True, controller="virt", controller_id="debian", since=NOW,
    idle_since=NOW, failures=2, next_try=NOW, trouble="no quota", alarm="it does not stop", draining=True,
    wish=Wish.STOP, address="192.0.2.7", host_keys=("ssh-ed25519 AAAA",), fault="a key", fault_output="ö",
)  # fmt: skip


def ledger(here: Installation, name: str = "one") -> DatabaseLedger:
    return DatabaseLedger(here.database, here.ground.job_types, name, lambda: here.now)


def test_all_that_is_known_of_a_host_is_kept(everywhere: Installation) -> None:
    assert all(getattr(FULL, field.name) != field.default for field in fields(FULL))
    ledger(everywhere).write("farm", lambda _known: FULL)
    assert ledger(everywhere, "after a restart").entries() == {"farm": FULL}
    ledger(everywhere).write("farm", lambda known: HostEntry(name=known.name))
    assert ledger(everywhere).entries() == {"farm": HostEntry(name="farm")}


def test_who_uses_a_host_is_told_by_living_attempts_and_called_jobs(everywhere: Installation) -> None:
    runs, called, waits = (everywhere.enqueue(host_name="farm") for _ in range(3))
    by_its_type = everywhere.enqueue(type="farmed")
    everywhere.attempt(runs, host_name="farm")
    everywhere.set_job(runs, status="Processing", attempt=1)
    for job in (called, by_its_type):
        everywhere.set_job(job, status="Waiting")
    assert everywhere.row(waits).status == "New"
    assert ledger(everywhere).uses() == {"farm": Use(running=1, called=2)}


def test_no_host_is_left_while_an_attempt_lives_there(everywhere: Installation) -> None:
    known = ledger(everywhere)
    known.write("farm", lambda entry: entry.entered(HostPhase.READY, NOW))
    job = everywhere.enqueue(host_name="farm")
    everywhere.attempt(job, host_name="farm")
    assert not known.leave("farm", HostPhase.STOPPING, NOW)
    assert known.entries()["farm"].phase is HostPhase.READY
    everywhere.attempt(job, host_name="farm", number=2, state="ended")
    assert not known.leave("farm", HostPhase.STOPPING, NOW)
    assert known.leave("lab", HostPhase.STOPPING, NOW)


def test_a_host_is_not_left_between_the_look_and_the_writing_of_a_plan(everywhere: Installation) -> None:
    """A planner holds the installation's row while it puts a job there; to leave waits for it."""
    if str(everywhere.database.engine.url).endswith("://"):
        pytest.skip("a database in memory has one connection")
    known = ledger(everywhere)
    known.write("farm", lambda entry: entry.entered(HostPhase.READY, NOW))
    job = everywhere.enqueue(host_name="farm")
    left: list[bool] = []
    thread = threading.Thread(target=lambda: left.append(known.leave("farm", HostPhase.STOPPING, NOW)))
    with everywhere.database.write() as connection:
        connection.execute(select(installation.c.id).with_for_update()).all()
        thread.start()
        thread.join(0.3)
        assert left == []
        row = {"job_id": job, "number": 1, "token": "t", "queue_name": "default", "dispatcher": "d"}
        row |= {"state": "taken", "taken_at": NOW, "host_name": "farm"}
        connection.execute(insert(attempts).values(row))
    thread.join(60)
    assert left == [False]


def test_many_who_write_at_once_lose_nothing(everywhere: Installation) -> None:
    def count(known: HostEntry) -> HostEntry:
        return replace(known, failures=known.failures + 1)

    ledger(everywhere).write("farm", count)
    threads = [
        threading.Thread(target=lambda: [ledger(everywhere).write("farm", count) for _ in range(5)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ledger(everywhere).entries()["farm"].failures == 21


def test_one_dispatcher_cares_for_a_host_and_another_takes_over_when_it_is_gone(
    everywhere: Installation,
) -> None:
    one, two = ledger(everywhere, "one"), ledger(everywhere, "two")
    everywhere.dispatcher("one")
    assert one.take("farm")
    assert not two.take("farm")
    assert one.take("farm")
    everywhere.dispatcher("two")
    with everywhere.database.write() as connection:
        an_hour_ago = {"seen_at": moment(everywhere.now, timedelta(hours=1))}
        connection.execute(update(dispatchers).where(dispatchers.c.name == "one").values(an_hour_ago))
    assert two.take("farm")
    assert not one.take("farm")
    with everywhere.database.read() as connection:
        assert connection.execute(select(hosts.c.carer)).scalars().all() == ["two"]


def test_a_machine_of_ours_whose_file_is_gone_is_shown_and_can_be_stopped(everywhere: Installation) -> None:
    sentence = "Host gone: it does not stop."
    gone = HostEntry(name="gone", phase=HostPhase.STOPPING, ours=True, controller="virt", alarm=sentence)
    known, states = ledger(everywhere), HostStates(everywhere.ground)
    known.write("gone", lambda _known: gone)
    known.write("left", lambda _known: HostEntry(name="left"))
    assert [record["name"] for record in states.all()] == ["farm", "lab", "gone"]
    record = states.get("gone")
    assert (record["state"], record["controller"], record["started_by_us"]) == ("stopping", "virt", True)
    assert (record["trouble"], record["alarm"]) == (NO_FILE, sentence)
    assert (record["defined"], states.get("farm")["defined"]) == (False, True)
    assert Health(everywhere.database, lambda: everywhere.now).report().host_alarms == 1
    states.stop("gone")
    assert known.entries()["gone"].wish is Wish.STOP
    for act in (states.start, states.drain, states.resume):
        with pytest.raises(NotFound):
            act("gone")
    with pytest.raises(NotFound):
        states.get("left")
