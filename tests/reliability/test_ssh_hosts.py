"""The whole program with its jobs on a machine behind SSH. FAULTS.md: A5 C1 C2 C4 H6."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from batchd_api.db.tables import installation
from tests.acceptance.harness import until
from tests.machine_park import SshdMachine, machine_park
from tests.prefect_server import PrefectServer
from tests.reliability.daemon_memory import MOST_GROWTH_KIB, DaemonMemory, streamed
from tests.reliability.fail_points import FailPoint
from tests.reliability.harness import Forked, Site, site
from tests.reliability.invariants import left
from tests.tcp_proxy import Pass, Refuse

pytestmark = pytest.mark.slow

BEFORE_START = FailPoint(target="batchd_flows.ssh_machine:SshMachine.start")
LINES = b"".join(b"%d\n" % number for number in range(1, 200_001))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdMachine]:
    with machine_park(tmp_path_factory.mktemp("park"), "box") as machines:
        machines["box"].boot()
        yield machines["box"]


@contextmanager
def site_with_host(folder: Path, server: PrefectServer, box: SshdMachine) -> Iterator[Site]:
    """Afterwards nothing of ours is left on the host, either."""
    with site(folder, server) as here:
        (here.folder / "hosts").mkdir()
        host_file(here).write_text(
            f"host_name: 127.0.0.1\nport: {box.port}\nuser_name: {getpass.getuser()}\n"
            f"private_key: {box.key}\nstartup_time: 0\n"
        )
        (here.state / "known_hosts").write_text(box.known_line())
        yield here
        until(
            200, "the host to be as it was", lambda: not left(box.home) and not folders_of_attempts(here, box)
        )


def folders_of_attempts(here: Site, box: SshdMachine) -> list[Path]:
    (ours,) = here.rows(select(installation.c.id))
    return list(box.home.glob(f".batchd/attempts-{ours.id[:8]}/*"))


def host_file(here: Site) -> Path:
    return here.folder / "hosts" / "box.yaml"


@pytest.fixture
def here(prefect_server: PrefectServer, box: SshdMachine, tmp_path: Path) -> Iterator[Site]:
    with site_with_host(tmp_path, prefect_server, box) as here:
        yield here


@pytest.fixture(scope="module")
def shared(
    prefect_server: PrefectServer, box: SshdMachine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """One daemon for all: none of these stops it."""
    with site_with_host(tmp_path_factory.mktemp("output"), prefect_server, box) as here:
        here.start().ready()
        yield here


def there(here: Site, **fields: Any) -> int:
    return here.witness(**({"host_name": "box"} | fields))


def between(here: Site) -> str:
    return f"echo one; {here.until_told()}; echo two"


def running(here: Site) -> int:
    """A job that has begun there, and ends once it is told to."""
    number = there(here, between=between(here))
    here.begun(number)
    here.status(number, "Processing")
    return number


def test_a5_a_dispatcher_killed_between_claim_and_start_starts_it_once_when_it_is_back(here: Site) -> None:
    first = here.start(fail=[BEFORE_START])
    first.wait_until_it_answers()
    number = there(here)
    first.struck()
    assert here.starts() == []
    here.start()
    here.status(number, "Done")
    assert here.starts() == [number]


def test_a5_one_killed_when_it_has_started_finds_it_again(here: Site) -> None:
    first = here.start(fail=[FailPoint(target=BEFORE_START.target, moment="after")])
    first.wait_until_it_answers()
    number = there(here, between=between(here))
    first.struck()
    here.begun(number)
    here.start()
    here.tell()
    here.status(number, "Done")
    assert here.starts() == [number]
    assert here.output(number) == b"one\ntwo\n"


def test_c1_200000_lines_are_all_stored_in_order_in_bounded_memory(shared: Site) -> None:
    memory = DaemonMemory(shared)
    number = shared.ask("seq 1 200000", host_name="box")
    shared.status(number, "Done")
    assert streamed(shared, f"/job/{number}/output") == (hashlib.sha256(LINES).hexdigest(), len(LINES))
    assert memory.grown_kib() < MOST_GROWTH_KIB


def test_c2_one_line_of_50_mb_is_stored_whole_in_bounded_memory(shared: Site) -> None:
    memory = DaemonMemory(shared)
    size = 50 * 2**20
    number = shared.ask(f"head -c {size} /dev/zero | tr '\\0' x", host_name="box")
    shared.status(number, "Done", seconds=180)
    whole = hashlib.sha256(b"x" * size).hexdigest()
    assert streamed(shared, f"/job/{number}/output") == (whole, size)
    assert memory.grown_kib() < MOST_GROWTH_KIB


def test_c4_output_has_no_hole_though_prefect_is_away_while_it_comes(shared: Site) -> None:
    number = there(shared, between=f"seq 1 1000; {shared.until_told('half')}; seq 1001 2000")
    until(60, "its first half", lambda: shared.output(number).endswith(b"\n1000\n"))
    shared.network.mode = Refuse()
    shared.tell("half")
    until(60, "its second half", lambda: shared.output(number).endswith(b"\n2000\n"))
    shared.network.mode = Pass()
    shared.status(number, "Done")
    assert shared.output(number) == b"".join(b"%d\n" % line for line in range(1, 2001))


def goes_on_unseen(here: Site) -> tuple[int, Forked, str]:
    """A job whose host's file has been removed since it began: its number, the daemon, what the file said."""
    first = here.start().ready()
    number = running(here)
    text = host_file(here).read_text()
    host_file(here).unlink()
    first.kill()
    daemon = here.start()

    def said() -> bool:
        assert daemon.process.poll() is None, daemon.terminal()
        return f"job {number} runs on unseen until the file is back" in here.said()

    until(60, f"a word about job {number}; {here.said()}", said)
    assert here.job(number).status == "Processing"
    return number, daemon, text


def test_h6_a_job_whose_host_s_file_is_removed_goes_on_and_is_found_when_it_is_back(here: Site) -> None:
    number, daemon, text = goes_on_unseen(here)
    host_file(here).write_text(text)
    daemon.kill()
    here.tell()
    here.start()
    here.status(number, "Done")
    assert here.output(number) == b"one\ntwo\n"
    assert here.starts(number) == [number]


def test_h6_it_can_be_cancelled_meanwhile_and_its_command_ends_when_the_file_is_back(here: Site) -> None:
    number, daemon, text = goes_on_unseen(here)
    with here.client() as client:
        client.cancel_job(number)
    assert here.status(number, "Failed").reason_text == "cancelled by root"
    host_file(here).write_text(text)
    daemon.kill()
    here.start().wait_until_it_answers()
    here.status(there(here), "Done")  # the host is in use again, so what is left there is looked at
