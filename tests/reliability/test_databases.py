"""Databases that are held, full, damaged or busy. FAULTS.md: B1-B6, B8."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.acceptance.harness import PASSWORD, USER, Installation, until
from tests.prefect_server import PrefectServer, running_prefect_server
from tests.reliability.harness import Site, site
from tests.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.slow

FULL = "The disk that holds the database is full; nothing was stored."
REFUSED = 2


@pytest.fixture
def here(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, prefect_server) as here:
        yield here


@contextmanager
def held(file: Path, seconds: float) -> Iterator[None]:
    """Nobody else may write into this SQLite file for so long."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        letting_go = threading.Timer(seconds, connection.execute, ["ROLLBACK"])
        letting_go.start()
        try:
            yield
        finally:
            letting_go.join()


@pytest.mark.slow  # it is held for 5 s
def test_b1_a_database_that_is_held_for_5_seconds_delays_and_loses_nothing(here: Site) -> None:
    here.start().ready()
    ends = here.witness(between=here.until_told())
    here.begun(ends)
    began = time.monotonic()
    with held(here.state / "batchd.db", 5):
        here.tell()
        asked = here.witness()  # no error
        assert time.monotonic() - began >= 4.5
    for number in (ends, asked):
        here.status(number, "Done")
    assert here.starts() == [ends, asked]


@pytest.mark.slow  # it is held for 15 s
def test_b2_prefects_database_that_is_held_delays_and_loses_nothing(here: Site) -> None:
    here.start().ready()
    ends = here.witness(between=here.until_told())
    here.begun(ends)
    with held(here.server.home / "prefect.db", 15):
        here.tell()
        asked = here.witness()
        here.status(ends, "Done")
    here.status(asked, "Done", seconds=90)
    assert here.starts() == [ends, asked]


@pytest.fixture
def full(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[tuple[Site, SmallDisk]]:
    """An installation whose state folder is a disk of its own."""
    folder = tmp_path / "here"
    with small_disk(folder / "state") as disk, site(folder, prefect_server) as here:
        yield here, disk


def test_b3_an_enqueue_on_a_full_disk_is_refused_leaves_no_row_and_is_said_once(
    full: tuple[Site, SmallDisk],
) -> None:
    here, disk = full
    here.start().ready()
    before = here.witness()
    here.status(before, "Done")
    disk.fill()
    order = {"type": "command", "params": {"command": "true"}, "notes": "x" * 100_000}
    with httpx.Client(base_url=here.url, auth=(USER, PASSWORD), timeout=60, trust_env=False) as client:
        answers = [client.post("/queue/default", json=order) for _ in range(3)]
        assert {(answer.status_code, answer.text) for answer in answers} == {(507, FULL)}
        assert len(client.get("/jobs?status=all").json()) == 1
    assert here.said().count("is full") == 1
    disk.free()
    after = here.witness()
    here.status(after, "Done")
    assert here.starts() == [before, after]


def test_b4_a_job_that_fills_the_disk_goes_on_and_its_exit_code_is_known(
    full: tuple[Site, SmallDisk],
) -> None:
    here, _ = full
    here.start().ready()
    number = here.ask("head -c 30000000 /dev/zero; echo went on >&2; exit 6")
    assert here.status(number, "Failed").reason_text == "exit code 6"
    (attempt,) = here.attempts(number)
    assert (attempt.exit_code, attempt.output_cut) == (6, True)
    assert 0 < attempt.stdout_bytes < 8 * 2**20
    assert b"went on\n" in here.output(number)


def test_b4_an_end_on_a_disk_that_others_filled_is_recorded_when_there_is_room(
    full: tuple[Site, SmallDisk],
) -> None:
    here, disk = full
    here.start().ready()
    number = here.witness(between=f"{here.until_told()}; seq 1 100000; echo went on >&2; exit 7")
    here.begun(number)
    disk.fill()
    here.tell()
    exit_file = here.attempt_folder(number) / "exit"
    until(30, "the end of the command", exit_file.exists)
    time.sleep(1)
    disk.free()
    here.status(number, "Failed")
    (attempt,) = here.attempts(number)
    assert (attempt.exit_code, attempt.output_cut) == (7, True)


@contextmanager
def without_spare_room(file: Path) -> Iterator[None]:
    """What is written into this SQLite file needs new room: its log is empty, and cannot be used again."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:

        def emptied() -> bool:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

        until(60, "a moment without readers", emptied)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM flow_run").fetchall()
        yield


@pytest.mark.timeout(900)  # a server of its own
def test_b5_a_job_that_ends_while_prefects_disk_is_full_is_shown_so_when_there_is_room(
    tmp_path: Path,
) -> None:
    with (
        small_disk(tmp_path / "prefect", "48m") as disk,
        running_prefect_server(disk.path / "home") as server,
        site(tmp_path / "here", server) as here,
    ):
        here.start().ready()
        ends, fails = (here.witness(between=f"{here.until_told()}; exit {code}") for code in (0, 5))
        for number in (ends, fails):
            here.states(number, "Running")
        with without_spare_room(server.home / "prefect.db"):
            disk.fill()
            here.tell()
            here.status(ends, "Done")
            here.status(fails, "Failed")
            asked = here.witness()
            until(90, "it is noticed", lambda: "Prefect does not answer" in here.said())
            assert {run["state_name"] for run in here.prefect("/flow_runs/filter", {})} == {"Running"}
            disk.free()
        here.states(ends, "Completed")
        here.states(fails, "Failed")
        here.status(asked, "Done")
        assert sorted(here.starts()) == [ends, fails, asked]


@pytest.mark.parametrize("damage", ["header", pytest.param("text", marks=pytest.mark.slow), "read-only"])
def test_b6_a_database_that_cannot_be_used_is_refused_and_not_written_over(
    tmp_path: Path, damage: str
) -> None:
    with small_disk(tmp_path / "state") as disk:
        here = Installation(tmp_path)
        here.create_superuser()
        file = here.state / "batchd.db"
        if damage == "header":
            file.write_bytes(b"\0" * 100 + file.read_bytes()[100:])
        elif damage == "text":
            file.write_text("these are my notes\n" * 300)
        else:
            disk.set_read_only()
        before = file.read_bytes()
        refused = here.run("batchd", "-c", here.config, "manager")
        assert refused.returncode == REFUSED, refused
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
        assert file.read_bytes() == before


@pytest.mark.slow  # 50 commands
def test_b8_50_ends_and_50_enqueues_at_once_are_all_recorded(here: Site) -> None:
    here.config.write_text(here.config.read_text().replace("workers: 4", "workers: 50"))
    here.start().ready()
    here.queue("shut", enabled=False)
    gate = here.folder / "gate"
    os.mkfifo(gate)
    numbers = [here.witness(between=f"read word < {gate} || :") for _ in range(50)]
    until(90, "all 50 to run", lambda: len(here.starts()) == 50)
    with ThreadPoolExecutor(50) as people, gate.open("wb"):
        later = list(people.map(lambda _: here.witness(queue="shut"), range(50)))
    for number in numbers:
        here.status(number, "Done")
    assert len(set(later)) == 50
    assert set(here.statuses(later).values()) == {"New"}
    assert not [line for line in here.said().splitlines() if "locked" in line or "busy" in line]
