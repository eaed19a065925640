"""What is remembered of a host's key is forgotten with its machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchd_infra.host_ledger import HostEntry
from batchd_infra.host_targets import HostConnections
from batchd_infra.hosts import Host, HostKeyPolicy
from tests.pretend_hosts import KEY

OTHERS = f"192.0.2.70 {KEY}\n[192.0.2.70]:2222 {KEY}\n"
MADE = Host(name="made", host_name="made", controller_id="made", port=2222)
ENTRY = HostEntry(name="made", address="192.0.2.7")


@pytest.fixture
def known(tmp_path: Path) -> Path:
    file = tmp_path / "known_hosts"
    file.write_text(f"192.0.2.7 {KEY}\n[192.0.2.7]:2222 {KEY}\n{OTHERS}")
    return file


def test_by_its_address_alone_it_is_forgotten_on_every_port(known: Path) -> None:
    HostConnections(known).forget_address("192.0.2.7")
    assert known.read_text() == OTHERS


def test_by_its_file_it_is_forgotten_on_its_port(known: Path) -> None:
    host = Host(**{**vars(MADE), "host_key_policy": HostKeyPolicy.ACCEPT_NEW})
    HostConnections(known).forget(host, ENTRY)
    assert known.read_text() == f"192.0.2.7 {KEY}\n{OTHERS}"


def test_a_key_that_a_person_has_trusted_is_not_forgotten(known: Path) -> None:
    before = known.read_text()
    HostConnections(known).forget(MADE, ENTRY)
    assert known.read_text() == before
