"""Processes that die or stand still at any moment. FAULTS.md: A3 A4 A5 A7 A8 A14 A15 A16 A17."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_server import PrefectServer
from tests.reliability.fail_points import FailPoint
from tests.reliability.harness import Site, site


@pytest.fixture
def here(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, prefect_server) as here:
        yield here


def test_a5_a_dispatcher_killed_between_claim_and_start_starts_it_once_when_it_is_back(here: Site) -> None:
    first = here.start(fail=[FailPoint(target="batchd_flows.local_machine:LocalMachine.start")])
    first.wait_until_it_answers()
    number = here.witness()
    first.struck()
    assert here.starts() == []
    assert [run.shown for run in here.runs(number)] == ["PENDING"]
    here.start()
    here.status(number, "Done")
    assert here.starts() == [number]
