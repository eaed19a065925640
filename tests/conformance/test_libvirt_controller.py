"""Domains of libvirt: crashed, deaf, or behind a daemon that is gone or hangs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from batchd_infra.controller import (
    ControllerUnreachable,
    MachineState,
)
from batchd_infra.libvirt_domain import LibvirtController, LibvirtSettings
from tests.libvirt_daemon import (
    DEAF_GUEST,
    libvirt,
    need_libvirt,
    pretended_domain,
    real_domain,
    running_libvirtd,
)
from tests.own_namespace import frozen, process_named
from tests.pretend_hosts import FAST, host

RUNNING, STOPPED = MachineState.RUNNING, MachineState.STOPPED


def test_a_crashed_domain_is_begun_anew(tmp_path: Path) -> None:
    need_libvirt()
    state = "<test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>6</test:runstate>"
    crashed = pretended_domain("m").replace("</domain>", f"{state}</domain>")
    file = tmp_path / "node.xml"
    file.write_text(f"<node>{crashed}</node>")
    controller = LibvirtController("l", LibvirtSettings(connection_string=f"test://{file}"), pace=FAST)
    assert controller.status(host("m")) is MachineState.PAUSED
    controller.start(host("m"))
    assert controller.status(host("m")) is RUNNING
    controller.stop(host("m"))
    assert controller.status(host("m")) is STOPPED


def test_a_domain_is_found_by_its_uuid_too() -> None:
    need_libvirt()
    controller = LibvirtController("l", LibvirtSettings(connection_string="test:///default"), pace=FAST)
    assert controller.status(host("6695eb01-f6a4-8304-79aa-97f2502e193f")) is RUNNING


def test_a_libvirtd_that_came_back_is_connected_to_again(tmp_path: Path) -> None:
    with running_libvirtd(tmp_path) as daemon:
        settings = LibvirtSettings(connection_string=daemon.test_uri)
        controller = LibvirtController("l", settings, pace=FAST)
        assert controller.status(host("test")) is RUNNING
    with pytest.raises(ControllerUnreachable):
        controller.status(host("test"))
    with running_libvirtd(tmp_path):
        assert controller.status(host("test")) is RUNNING
        controller.close()


@pytest.mark.slow
def test_a_libvirtd_that_hangs_is_given_up(tmp_path: Path) -> None:
    with running_libvirtd(tmp_path) as daemon:
        settings = LibvirtSettings(connection_string=daemon.test_uri)
        controller = LibvirtController("l", settings, pace=FAST)
        assert controller.status(host("test")) is RUNNING
        with frozen(process_named(tmp_path, "libvirtd")):
            began = time.monotonic()
            with pytest.raises(ControllerUnreachable):
                controller.status(host("test"))
            assert time.monotonic() - began < 40
        controller.close()


@pytest.mark.slow
def test_a_guest_that_is_deaf_to_its_power_button_is_destroyed_after_the_grace(tmp_path: Path) -> None:
    with running_libvirtd(tmp_path) as daemon:
        connection = libvirt.open(daemon.qemu_uri)
        domain = connection.defineXML(real_domain("deaf", tmp_path, DEAF_GUEST))
        controller = LibvirtController(
            "l", LibvirtSettings(connection_string=daemon.qemu_uri), pace=replace(FAST, grace_seconds=2)
        )
        controller.start(host("deaf"))
        began = time.monotonic()
        controller.stop(host("deaf"))
        assert time.monotonic() - began >= 2
        assert not domain.isActive()
        controller.close()
        connection.close()
