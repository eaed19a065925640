"""Retention: what goes, what stays whatever the clock says, and that a database stays small."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from batchd_api.books import Books
from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, flow_runs, jobs, output
from batchd_api.retention import OUTPUT_ROWS_AT_ONCE, Retention, living_folders, remove_leftovers
from batchd_api.statuses import JobStatus
from batchd_flows.local_machine import LocalMachine
from batchd_flows.supervisor import Launch
from tests.ground import NOW, Installation, installation
from tests.waiting import wait_until

DAY = timedelta(days=1)
UNFINISHED = [status for status in JobStatus if not status.is_final]


def ended(here: Installation, at: datetime, status: JobStatus = JobStatus.DONE, chunks: int = 1) -> int:
    """A job with one attempt, output and a flow run, that ended then."""
    job_id = here.enqueue()
    here.attempt(job_id, state="ended", stdout=[b"frame\n"] * chunks)
    here.flow_run(job_id, f"run-{job_id}")
    here.set_job(job_id, status=status, end_time=at)
    return job_id


@pytest.fixture
def retention(here: Installation) -> Retention:
    return Retention(here.database, done_jobs_days=2)


def test_finished_jobs_go_with_all_that_is_theirs_some_days_after_their_end(
    here: Installation, retention: Retention
) -> None:
    old = [ended(here, NOW - 3 * DAY), ended(here, NOW - 3 * DAY, JobStatus.FAILED)]
    young = ended(here, NOW - DAY)
    assert retention.sweep(NOW) == 2
    assert [here.row(job_id) for job_id in old] == [None, None]
    assert here.row(young) is not None
    for table in (attempts, output):
        assert here.count(table, table.c.job_id.in_(old)) == 0
        assert here.count(table, table.c.job_id == young) == 1
    assert Books(here.database).gone(10) == [f"run-{job_id}" for job_id in old]
    assert retention.sweep(NOW) == 0


def test_the_end_counts_not_the_enqueue(here: Installation, retention: Retention) -> None:
    waited_long = ended(here, NOW - DAY)
    here.set_job(waited_long, create_time=NOW - 400 * DAY)
    assert retention.sweep(NOW) == 0
    assert retention.sweep(NOW + DAY + timedelta(seconds=1)) == 1


@pytest.mark.parametrize("status", UNFINISHED)
@pytest.mark.parametrize("end_time", [None, NOW - 300 * DAY])
def test_nothing_unfinished_ever_goes(
    here: Installation, retention: Retention, status: JobStatus, end_time: datetime | None
) -> None:
    """An `end_time` may be left from before the job was set to New."""
    job_id = here.enqueue()
    here.attempt(job_id, state="running", stdout=[b"x"])
    here.set_job(job_id, status=status, create_time=NOW - 400 * DAY, end_time=end_time)
    assert retention.sweep(NOW) == 0
    assert here.row(job_id) is not None
    assert here.count(output) == 1


@pytest.mark.parametrize("jump", [-timedelta(hours=1), 3 * DAY, 10_000 * DAY])
def test_e5_a_clock_that_jumps_takes_no_job_that_lives(
    here: Installation, retention: Retention, jump: timedelta
) -> None:
    living = [here.enqueue() for _ in UNFINISHED]
    for job_id, status in zip(living, UNFINISHED, strict=True):
        here.set_job(job_id, status=status)
    assert retention.sweep(NOW + jump) == 0
    assert here.order() == living


def test_a_job_whose_tree_still_ends_stays_until_that_is_gone(
    here: Installation, retention: Retention
) -> None:
    job_id = here.enqueue()
    here.attempt(job_id, state="running")
    here.set_job(job_id, status=JobStatus.FAILED, end_time=NOW - 9 * DAY)
    assert retention.sweep(NOW) == 0
    assert here.row(job_id) is not None


def test_a_sweep_takes_no_more_than_its_limit_the_oldest_first(
    here: Installation, retention: Retention
) -> None:
    ids = [ended(here, NOW - (9 - n) * DAY) for n in range(5)]
    assert retention.sweep(NOW, limit=2) == 2
    assert here.order() == ids[2:]
    assert [retention.sweep(NOW, limit=2) for _ in range(3)] == [2, 1, 0]


def test_output_of_many_rows_goes_in_steps(here: Installation, retention: Retention) -> None:
    ended(here, NOW - 3 * DAY, chunks=2 * OUTPUT_ROWS_AT_ONCE + 1)
    assert retention.sweep(NOW) == 1
    assert here.count(output) == 0


@pytest.mark.parametrize("days", [0, 10_000_000])
def test_zero_days_or_very_many_keep_everything(here: Installation, days: float) -> None:
    ended(here, NOW - 1000 * DAY)
    assert Retention(here.database, done_jobs_days=days).sweep(NOW) == 0


# Folders


def test_folders_of_attempts_go_when_they_have_ended(here: Installation, tmp_path: Path) -> None:
    alive, over = here.enqueue(), here.enqueue()
    here.attempt(alive, state="running")
    here.attempt(over, state="ended")
    for name in (f"{alive}.1", f"{over}.1", "999.2", "notes", "17"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stdout").write_text("x")
    assert remove_leftovers(tmp_path, lambda: living_folders(here.database)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {f"{alive}.1", "notes", "17"}


def test_an_attempt_that_begins_meanwhile_keeps_its_folder(here: Installation, tmp_path: Path) -> None:
    job_id = here.enqueue()
    (tmp_path / "999.1").mkdir()

    def living() -> set[str]:
        """Between the list and the question an attempt is written down, and its folder made."""
        here.attempt(job_id, state="taken")
        (tmp_path / f"{job_id}.1").mkdir()
        return living_folders(here.database)

    assert remove_leftovers(tmp_path, living) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{job_id}.1"]


def test_what_still_runs_of_an_attempt_that_was_given_up_is_ended_before_its_folder_goes(
    here: Installation, tmp_path: Path
) -> None:
    machine, folder = LocalMachine(), tmp_path / "7.1"
    machine.start(Launch(folder=folder, script="exec sleep 600", environment={}))
    pid = machine.status(folder).pid
    assert pid is not None
    assert remove_leftovers(tmp_path, lambda: living_folders(here.database)) == 0
    wait_until(lambda: machine.gone(folder), 30, f"the end of {pid}")
    assert folder.exists()
    assert remove_leftovers(tmp_path, lambda: living_folders(here.database)) == 1


# A database that has run for long

DAYS, JOBS_A_DAY, CHUNKS, CHUNK = 30, 12, 4, 16_000
KEPT = 2


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Installation]:
    with installation(f"sqlite:///{tmp_path / 'batchd.db'}") as made:
        yield made


def a_day(here: Installation, day: int) -> None:
    """A day's jobs, in one transaction. Every sixth is never looked at again: it stays unfinished."""
    first = day * JOBS_A_DAY + 1
    ids = range(first, first + JOBS_A_DAY)
    job = {"queue_name": "default", "type_name": "command", "user_name": "ann", "params": {}, "attempt": 1}
    tried = {"number": 1, "token": "t", "queue_name": "default", "dispatcher": "d", "state": "ended"}
    shown = {"attempt": 1, "number": 1, "queue_name": "default", "name": "#1", "shown": "COMPLETED"}
    data = {"attempt": 1, "stream": "stdout", "time": here.now, "data": bytes([day]) * CHUNK}
    with here.database.write() as connection:
        for job_id in ids:
            unfinished = job_id % 6 == 0
            status = JobStatus.POSTPONED if unfinished else JobStatus.DONE
            times = {"create_time": here.now, "end_time": None if unfinished else here.now}
            connection.execute(
                insert(jobs).values(job | times | {"id": job_id, "seq": job_id, "status": status})
            )
        connection.execute(insert(attempts), [tried | {"job_id": each, "taken_at": here.now} for each in ids])
        connection.execute(insert(flow_runs), [shown | {"id": f"run-{each}", "job_id": each} for each in ids])
        chunks = [data | {"job_id": each, "offset": n * CHUNK} for each in ids for n in range(CHUNKS)]
        connection.execute(insert(output), chunks)


def tidy(here: Installation, retention: Retention) -> None:
    """What the daemon does now and then, and the mirror's part of it."""
    while retention.sweep(here.now, limit=5):
        pass
    books = Books(here.database)
    for run_id in books.gone(1000):
        books.note_removed(run_id)
    while retention.shrink():
        pass


def file_bytes(database: Database) -> int:
    with database.read() as connection:
        names = ("page_count", "page_size")
        pages, size = (int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in names)
    return pages * size


def test_a_database_that_has_run_for_thirty_days_stays_small(on_disk: Installation) -> None:
    here, retention = on_disk, Retention(on_disk.database, done_jobs_days=KEPT)
    rows: list[int] = []
    sizes: list[int] = []
    for day in range(DAYS):
        here.now = NOW + day * DAY
        a_day(here, day)
        tidy(here, retention)
        finished = here.count(jobs, jobs.c.status == JobStatus.DONE)
        rows.append(finished)
        sizes.append(file_bytes(here.database))
        assert here.count(jobs) == here.count(attempts) == here.count(flow_runs)
        assert here.count(output) == here.count(jobs) * CHUNKS
    done_a_day = JOBS_A_DAY * 5 // 6
    assert max(rows) == rows[-1] == (KEPT + 1) * done_a_day
    unfinished = DAYS * JOBS_A_DAY // 6
    assert here.count(jobs, jobs.c.status == JobStatus.POSTPONED) == unfinished
    data = (rows[-1] + unfinished) * CHUNKS * CHUNK
    assert sizes[-1] < 1.5 * data + 500_000


def test_a_file_shrinks_when_most_of_it_has_gone(on_disk: Installation) -> None:
    here, retention = on_disk, Retention(on_disk.database, done_jobs_days=KEPT)
    here.now = NOW
    for day in range(10):
        a_day(here, day)
    full = file_bytes(here.database)
    here.now = NOW + 9 * DAY
    tidy(here, retention)
    assert file_bytes(here.database) < full / 2


def test_a_database_without_unused_pages_has_nothing_to_shrink(here: Installation) -> None:
    assert not Retention(here.database, done_jobs_days=2).shrink()


def test_c9_a_job_that_runs_for_three_days_keeps_all_its_rows_and_its_folder(
    here: Installation, retention: Retention, tmp_path: Path
) -> None:
    """Its first execution failed four days ago; a job that ended as it began goes."""
    gone, job_id = ended(here, NOW - 3 * DAY), here.enqueue()
    here.attempt(job_id, state="ended", exit_code=1, stdout=[b"first"], ended_at=NOW - 4 * DAY)
    here.attempt(job_id, number=2, started_at=NOW - 3 * DAY, taken_at=NOW - 3 * DAY, stdout=[b"second"])
    here.flow_run(job_id, "running", attempt=2)
    here.set_job(job_id, status=JobStatus.PROCESSING, create_time=NOW - 4 * DAY)
    folder = tmp_path / f"{job_id}.2"
    folder.mkdir()
    assert retention.sweep(NOW) == 1
    remove_leftovers(tmp_path, lambda: living_folders(here.database))
    assert here.row(gone) is None
    assert (here.count(attempts), here.count(output)) == (2, 2)
    assert here.count(flow_runs, ~flow_runs.c.gone) == 1
    assert folder.exists()
