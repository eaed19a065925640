"""What is to be done about a host: one function of what is known and who wants it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_infra.host_care import Care, due, idle_until, next_try
from batchd_infra.host_ledger import HostEntry, HostPhase, MemoryLedger, Use, Wish
from batchd_infra.hosts import Host

NOW = datetime(2026, 11, 24, 22, tzinfo=UTC)
HOST = Host(name="vm", host_name="vm", controller_id="vm", controller="libvirt")
LONG_AGO = NOW - timedelta(hours=1)
CALLED, RUNNING, NOBODY = Use(called=1), Use(running=1), Use()
READY = HostEntry(name="vm", phase=HostPhase.READY, since=LONG_AGO, ours=True)
OFF = HostEntry(name="vm")


def care(entry: HostEntry, use: Use = NOBODY, host: Host = HOST, *, can_stop: bool = True) -> Care:
    return due(host, entry, use, NOW, can_stop=can_stop)


@pytest.mark.parametrize(
    ("entry", "use", "wanted"),
    [
        (OFF, NOBODY, Care.NOTHING),
        (OFF, CALLED, Care.GET_READY),
        (replace(OFF, draining=True), CALLED, Care.NOTHING),
        (replace(OFF, wish=Wish.START), NOBODY, Care.GET_READY),
        (replace(OFF, phase=HostPhase.STARTING), NOBODY, Care.GET_READY),
        (READY, RUNNING, Care.NOTHING),
        (replace(READY, idle_since=LONG_AGO), RUNNING, Care.NOTE_BUSY),
        (READY, NOBODY, Care.NOTE_IDLE),
        (replace(READY, idle_since=NOW), NOBODY, Care.NOTHING),
        (replace(READY, idle_since=LONG_AGO), NOBODY, Care.STOP),
        (replace(READY, idle_since=LONG_AGO, ours=False), NOBODY, Care.REST),
        (replace(READY, wish=Wish.START), NOBODY, Care.GRANTED),
        (replace(READY, wish=Wish.STOP), RUNNING, Care.NOTHING),
        (replace(READY, wish=Wish.STOP, ours=False), NOBODY, Care.STOP),
        (replace(READY, phase=HostPhase.STOPPING), CALLED, Care.STOP),
        (replace(OFF, phase=HostPhase.FAILED, next_try=NOW + timedelta(minutes=1)), CALLED, Care.NOTHING),
        (replace(OFF, phase=HostPhase.FAILED, next_try=NOW), CALLED, Care.GET_READY),
        (replace(READY, fault="a key", since=NOW), CALLED, Care.NOTHING),
        (replace(READY, fault="a key"), CALLED, Care.FORGET_FAULT),
    ],
)
def test_what_is_done(entry, use, wanted):
    assert care(entry, use) is wanted


def test_a_host_that_was_on_before_is_stopped_only_where_its_file_says_so():
    foreign = replace(READY, ours=False, idle_since=LONG_AGO)
    assert care(foreign, host=replace(HOST, stop_foreign=True)) is Care.STOP
    assert care(foreign, host=replace(HOST, stop_foreign=True), can_stop=False) is Care.REST
    assert idle_until(HOST, foreign) is None


def test_the_next_try_is_after_1_5_15_and_then_every_30_minutes():
    waits = [(next_try(failures, NOW) - NOW).total_seconds() / 60 for failures in range(1, 7)]
    assert waits == [1, 5, 15, 30, 30, 30]


moments = st.none() | st.sampled_from([LONG_AGO, NOW, NOW + timedelta(minutes=1)])
entries = st.builds(
    HostEntry,
    name=st.just("vm"),
    phase=st.sampled_from(list(HostPhase)),
    ours=st.booleans(),
    since=moments,
    idle_since=st.none() | st.sampled_from([LONG_AGO, NOW]),
    next_try=moments,
    draining=st.booleans(),
    wish=st.none() | st.sampled_from(list(Wish)),
    fault=st.none() | st.just("a key"),
)
uses = st.builds(Use, running=st.integers(0, 2), called=st.integers(0, 2))


@given(entries, uses, st.booleans(), st.booleans())
def test_no_machine_is_stopped_under_a_job_and_no_foreign_one_unasked(entry, use, can_stop, stop_foreign):
    decision = care(entry, use, replace(HOST, stop_foreign=stop_foreign), can_stop=can_stop)
    if decision is Care.STOP and entry.phase is not HostPhase.STOPPING:
        assert can_stop
        assert not use.running
        assert entry.ours or stop_foreign or entry.wish is Wish.STOP
        assert not use.called or entry.wish is Wish.STOP


def test_a_host_in_use_does_not_leave_its_phase():
    ledger: Any = MemoryLedger()
    ledger.write("vm", lambda known: known.entered(HostPhase.READY, NOW))
    with ledger.using("vm"):
        assert not ledger.leave("vm", HostPhase.STOPPING, NOW)
        assert ledger.uses()["vm"] == RUNNING
    assert ledger.leave("vm", HostPhase.STOPPING, NOW)
    assert ledger.entries()["vm"].phase is HostPhase.STOPPING
