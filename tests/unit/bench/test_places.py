"""What the harness reads of processes is what they do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from bench.places import Stock, cpu_seconds, pss_mib, until

ALLOCATE = "import sys; kept = b'x' * (int(sys.argv[1]) << 20); print('ready', flush=True); sys.stdin.read()"
WORK = """
import sys, time
while time.process_time() < float(sys.argv[1]): pass
print('ready', flush=True); sys.stdin.read()
"""


@contextmanager
def python(program: str, argument: float) -> Iterator[int]:
    """A process that has done its part, and lives."""
    words = [sys.executable, "-S", "-c", program, str(argument)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate()


def test_memory_shows_what_a_process_has_taken() -> None:
    with python(ALLOCATE, 0) as small, python(ALLOCATE, 64) as large:
        assert pss_mib({large}) - pss_mib({small}) == pytest.approx(64, abs=4)


def test_memory_of_several_is_their_sum_and_what_has_ended_has_none() -> None:
    with python(ALLOCATE, 16) as one, python(ALLOCATE, 16) as other:
        assert pss_mib({one, other}) == pytest.approx(pss_mib({one}) + pss_mib({other}), abs=1)
    assert pss_mib({one, other}) == 0


def test_processor_time_shows_work_and_not_rest() -> None:
    with python(WORK, 0.5) as working, python(WORK, 0) as resting:
        assert cpu_seconds({working}) - cpu_seconds({resting}) == pytest.approx(0.5, abs=0.2)
    assert cpu_seconds({working}) == 0


def test_our_own_processor_time_counts_as_ours() -> None:
    before, began = cpu_seconds({os.getpid()}), time.process_time()
    while time.process_time() - began < 0.3:
        pass
    assert cpu_seconds({os.getpid()}) - before == pytest.approx(0.3, abs=0.15)


class Pool:
    """Prefect's list of a pool's workers, in which one that has ended stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def post(self, path: str, json: object) -> httpx.Response:
        names = self.answers.pop(0)
        request = httpx.Request("POST", f"http://127.0.0.1{path}")
        return httpx.Response(200, json=[{"name": name} for name in names], request=request)

    def close(self) -> None:
        pass


def test_a_worker_is_there_when_its_own_name_is_and_not_one_before_its(tmp_path: Path) -> None:
    place = Stock(tmp_path)
    place.client.close()
    pool = Pool(["former"], ["former"], ["former"], ["former", "new"])
    place.client = cast("Any", pool)
    place.start = cast("Any", lambda *_: None)  # type: ignore[method-assign]
    place.start_worker()
    assert pool.answers == []


def test_what_is_waited_for_is_what_was_found() -> None:
    answers = iter([None, 0, "", "found"])
    assert until("an answer", lambda: next(answers), seconds=5, pause=0) == "found"


def test_a_wait_ends_by_saying_what_was_waited_for() -> None:
    with pytest.raises(TimeoutError, match="the moon"):
        until("the moon", lambda: False, seconds=0.05)
