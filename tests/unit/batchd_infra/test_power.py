"""The steps that every driver shares, on machines in memory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from batchd_infra.controller import (
    ActionRefused,
    ControllerClosed,
    ControllerUnreachable,
    MachineBusy,
    MachineState,
    StartFailed,
    StopFailed,
)
from batchd_infra.fake_controller import FakeController, FakeSettings
from tests.pretend_hosts import FAST, host

RUNNING, STOPPED = MachineState.RUNNING, MachineState.STOPPED


def test_d10_a_stop_that_stumbles_is_tried_again_within_the_call() -> None:
    fake = FakeController(settings=FakeSettings(shutdown_seconds=0.1), pace=FAST)
    fake.set_state("m", RUNNING)
    fake.fail(
        "shut_down", MachineBusy("host-m", "a snapshot"), ControllerUnreachable("host-m", "fake", "gone")
    )
    fake.stop(host("m"))
    assert fake.status(host("m")) is STOPPED


def test_d10_a_stop_that_fails_says_so_and_the_next_one_works() -> None:
    fake = FakeController(settings=FakeSettings(shutdown_seconds=0.1), pace=FAST)
    fake.set_state("m", RUNNING)
    refused = ActionRefused("host-m", "fake", "stop", "protected")
    fake.fail("shut_down", refused, refused)
    for _ in range(2):
        with pytest.raises(ActionRefused, match="will not stop it: protected"):
            fake.stop(host("m"))
        assert fake.status(host("m")) is RUNNING
    fake.stop(host("m"))
    assert fake.status(host("m")) is STOPPED


def test_a_machine_that_does_not_stop_by_itself_is_forced_after_the_grace() -> None:
    fake = FakeController(settings=FakeSettings(shutdown_seconds=3600), pace=replace(FAST, grace_seconds=0.5))
    fake.set_state("m", RUNNING)
    fake.stop(host("m"))
    assert (fake.status(host("m")), fake.asked["m", "force"]) == (STOPPED, 1)


def test_a_stop_that_reaches_its_limit_is_an_error_with_the_state() -> None:
    fake = FakeController(settings=FakeSettings(shutdown_seconds=3600), pace=FAST)
    fake.set_state("m", RUNNING)
    with pytest.raises(StopFailed, match="does not stop, it is stopping: it was not off within"):
        fake.stop(host("m"), limit_seconds=0.3)


def test_a_start_that_waits_for_another_of_the_same_machine_is_bounded_too() -> None:
    fake = FakeController(settings=FakeSettings(startup_seconds=3600), pace=FAST)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(fake.start, host("m"))
        while not fake.asked["m", "boot"]:
            assert not first.done()
        with pytest.raises(StartFailed, match="another start or stop of it has not ended"):
            fake.start(host("m"), limit_seconds=0.2)
        fake.close()
        with pytest.raises(ControllerClosed):
            first.result(10)
