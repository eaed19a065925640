"""What the database counts of its jobs is what a count of its rows says, whatever has been done to them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, text, update

from batchd_api.db.copying import copy_rows
from batchd_api.db.job_counts import gather, job_counts, number_of, numbers
from batchd_api.db.session import Database
from batchd_api.db.tables import jobs
from batchd_api.db.upgrade import upgrade
from batchd_api.dispatching import ATTEMPTS_FOLDER, tidy_up
from batchd_api.statuses import JobStatus
from tests.ground import NOW, ROOT, Installation
from tests.waiting import wait_until

STATUSES = [str(status) for status in JobStatus]
QUEUES = ("default", "night")
ROW = {"type_name": "command", "user_name": "root", "create_time": NOW, "params": {}}


def counted(connection: Connection) -> dict[tuple[str, str], int]:
    return {(queue, status): n for queue, status, n in connection.execute(numbers())}


def rows_say(connection: Connection) -> dict[tuple[str, str], int]:
    query = select(jobs.c.queue_name, jobs.c.status, func.count()).group_by(jobs.c.queue_name, jobs.c.status)
    return {(queue, status): n for queue, status, n in connection.execute(query)}


def agree(database: Database) -> dict[tuple[str, str], int]:
    with database.read() as connection:
        found = counted(connection)
        assert found == rows_say(connection)
        return found


def some_change(connection: Connection, chance: random.Random) -> None:
    """Rows come, go, and change their status, their queue, both or neither: one or many in a statement."""
    some = jobs.c.seq % chance.randint(1, 4) == 0
    new = {"queue_name": chance.choice(QUEUES), "status": chance.choice(STATUSES)}
    what = chance.choice(["add", "add", "change", "move", "both", "neither", "remove"])
    if what == "add":
        many = chance.randint(1, 5)
        connection.execute(insert(jobs), [ROW | new | {"seq": chance.randint(1, 99)} for _ in range(many)])
    elif what == "remove":
        connection.execute(delete(jobs).where(some))
    else:
        keys = {"change": ["status"], "move": ["queue_name"], "both": ["status", "queue_name"], "neither": []}
        values = {key: new[key] for key in keys[what]} or {"status": jobs.c.status, "notes": "touched"}
        connection.execute(update(jobs).where(some).values(values))


class UndoneError(Exception):
    pass


def many_changes(database: Database, seed: int, turns: int) -> None:
    chance = random.Random(seed)
    for _ in range(turns):
        try:
            with database.write() as connection:
                for _ in range(chance.randint(1, 3)):
                    some_change(connection, chance)
                assert database.is_sqlite is False or counted(connection) == rows_say(connection)
                if chance.random() < 0.2:
                    raise UndoneError
        except UndoneError:
            pass


@pytest.mark.parametrize("seed", range(5))
def test_after_any_changes_the_numbers_are_those_of_the_rows(everywhere: Installation, seed: int) -> None:
    everywhere.queue("night")
    for turn in range(10):
        many_changes(everywhere.database, 100 * seed + turn, 5)
        agree(everywhere.database)


def test_whoever_writes_sees_their_own_changes_counted(everywhere: Installation) -> None:
    everywhere.enqueue()
    with everywhere.database.write() as connection:
        connection.execute(insert(jobs).values(**ROW, queue_name="default", seq=9, status="New"))
        assert connection.execute(select(number_of("default", "New"))).scalar_one() == 2
        assert connection.execute(select(number_of("default", "Done"))).scalar_one() == 0


def test_a_queue_that_is_emptied_or_deleted_has_no_numbers(everywhere: Installation) -> None:
    everywhere.queue("night")
    for queue in QUEUES:
        everywhere.enqueue(queue)
        everywhere.set_job(everywhere.enqueue(queue), status="Done")
    everywhere.queues.delete_jobs(ROOT, "default", [JobStatus.DONE])
    everywhere.queues.delete(ROOT, "night", forced=True)
    assert agree(everywhere.database) == {("default", "New"): 1}
    with everywhere.database.write() as connection:
        gather(connection)
    assert agree(everywhere.database) == {("default", "New"): 1}


def test_a_copy_counts_its_rows_once(everywhere: Installation, tmp_path: Any) -> None:
    for status in ("New", "New", "Failed"):
        everywhere.set_job(everywhere.enqueue(), status=status)
    with closing(Database(f"sqlite:///{tmp_path / 'copy.db'}")) as copy:
        upgrade(copy)
        for _ in range(2):
            copy_rows(everywhere.database, copy)
            assert agree(copy) == {("default", "Failed"): 1, ("default", "New"): 2}
        copy_rows(copy, everywhere.database)
    assert agree(everywhere.database) == {("default", "Failed"): 1, ("default", "New"): 2}


def test_housekeeping_forgets_what_is_zero_and_who_has_gone(here: Installation, tmp_path: Path) -> None:
    storage = SimpleNamespace(done_jobs_days=0)
    settings = SimpleNamespace(storage=storage, state_directory=tmp_path)
    parts: Any = SimpleNamespace(settings=settings, database=here.database)
    (tmp_path / ATTEMPTS_FOLDER).mkdir()
    here.jobs.delete(ROOT, here.enqueue())
    assert here.count(job_counts)
    if not here.database.is_sqlite:
        here.database.engine.dispose()

    def is_tidy() -> bool:
        tidy_up(parts, NOW)
        return here.count(job_counts) == 0

    wait_until(is_tidy, 20, "the numbers that are zero have gone")


# --- several connections, on a server ---


@pytest.fixture
def served(postgres: Any) -> Any:
    with closing(Database(postgres.new_database())) as database:
        upgrade(database)
        with database.write() as connection:
            connection.execute(text("INSERT INTO schedules (name) VALUES ('anytime')"))
            for name in QUEUES:
                values = {"name": name}
                connection.execute(
                    text(
                        "INSERT INTO queues (name, title, enabled, schedule_name) "
                        "VALUES (:name, '', true, 'anytime')"
                    ),
                    values,
                )
        yield database


def shards(database: Database) -> set[int]:
    with database.read() as connection:
        return set(connection.execute(select(job_counts.c.shard)).scalars())


def test_two_who_count_the_same_at_once_do_not_wait_for_each_other(served: Database) -> None:
    row = ROW | {"queue_name": "night", "status": "New"}
    with served.write() as one:
        one.execute(insert(jobs).values(row | {"seq": 1}))
        with served.write() as two:
            two.execute(text("SET LOCAL lock_timeout = 2000"))
            two.execute(insert(jobs).values(row | {"seq": 2}))
            assert counted(two) == {("night", "New"): 1}
    assert agree(served) == {("night", "New"): 2}


def test_what_connections_counted_that_are_gone_is_gathered_while_others_write(served: Database) -> None:
    def write(seed: int) -> None:
        chance = random.Random(seed)
        with closing(Database(served.url)) as own:
            for turn in range(10):
                row = ROW | {"queue_name": chance.choice(QUEUES), "status": chance.choice(STATUSES)}
                with own.write() as connection:
                    connection.execute(insert(jobs).values(row | {"seq": 100 * seed + turn}))
                    old = jobs.c.seq == 100 * seed + turn - 3
                    connection.execute(update(jobs).where(old).values(status=chance.choice(STATUSES)))
                    connection.execute(delete(jobs).where(jobs.c.seq == 100 * seed + turn - 6))
                if turn % 3 == 0:
                    own.engine.dispose()

    def gather_again_and_again(_: int) -> None:
        for _turn in range(30):
            with served.write() as connection:
                gather(connection)

    with ThreadPoolExecutor(6) as threads:
        work = [threads.submit(write, seed) for seed in range(1, 5)]
        work += [threads.submit(gather_again_and_again, number) for number in range(2)]
        for one in work:
            one.result()
    agree(served)

    def is_gathered() -> bool:
        with served.write() as connection:
            gather(connection)
        return shards(served) <= {0}

    wait_until(is_gathered, 20, "those that have just gone are no longer listed")
    agree(served)
