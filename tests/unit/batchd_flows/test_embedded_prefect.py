"""Garbage that waits for a database keeps nobody else waiting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batchd_flows.embedded_prefect import due_generation

BUSY_SECONDS = 4.0  # how long SQLite waits for the write lock
# One thread waits for the write lock that the main thread's transaction has, and a cursor of its connection
# is garbage. The main thread goes on making things until that cursor is collected, and ends its transaction:
# it prints after how long.
PROGRAM = f"""
import sqlite3, sys, threading, time, weakref
from batchd_flows.embedded_prefect import collect_beside

class Loop:
    pass

def connect():
    return sqlite3.connect(sys.argv[1], isolation_level=None, timeout={BUSY_SECONDS}, check_same_thread=False)

def insert():
    return waiter.executemany("insert into t values (?)", [(1,), (2,)])  # of one statement, each time

holder, waiter = connect(), connect()
holder.execute("pragma journal_mode=wal")
holder.execute("create table t (a)")
if sys.argv[2] == "beside":
    collect_beside()
garbage = Loop()
garbage.itself, garbage.cursor = garbage, insert()
holder.execute("begin immediate")
began = time.monotonic()
threading.Thread(target=insert).start()
time.sleep(0.3)  # it waits now, and has its connection meanwhile
freed = weakref.ref(garbage)
del garbage
made = []
while freed() is not None and time.monotonic() - began < 60:
    made.append([Loop() for _ in range(1000)])
    time.sleep(0.01)
holder.execute("rollback")
print(time.monotonic() - began)
"""


def seconds(database: Path, how: str) -> float:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(database), how], capture_output=True, text=True, check=True
    )
    return float(answer.stdout)


def test_who_has_the_lock_goes_on_while_a_cursor_of_the_one_who_waits_is_collected(tmp_path: Path) -> None:
    assert seconds(tmp_path / "beside.db", "beside") < BUSY_SECONDS


def test_where_the_collector_is_on_the_thread_at_work_all_of_it_waits(tmp_path: Path) -> None:
    """That the other test can fail."""
    if seconds(tmp_path / "within.db", "within") < BUSY_SECONDS:
        pytest.skip("to free a cursor, this Python waits for nothing")


@pytest.mark.parametrize(
    ("counts", "generation"),
    [((700, 10, 10), None), ((701, 10, 10), 0), ((701, 11, 10), 1), ((701, 11, 11), 2), ((0, 0, 11), 2)],
)
def test_the_oldest_generation_that_is_due_is_collected(
    counts: tuple[int, int, int], generation: int | None
) -> None:
    assert due_generation(counts, (700, 10, 10)) == generation
