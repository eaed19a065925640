"""A run on this machine: the real supervisor, from the start to the exit code."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchd_flows.local_machine import LocalMachine
from batchd_flows.run import CHUNK_BYTES, Chunk, MemoryRecorder, Outcome, Position, Run
from batchd_flows.supervisor import Launch, RunState, SupervisorError

pytestmark = pytest.mark.anyio

LIMIT_SECONDS = 30


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass
class Place:
    """A folder for one attempt and what the tests do there."""

    folder: Path
    machine: LocalMachine = field(default_factory=LocalMachine)

    def run(self, script: str | None = None, **fields: Any) -> Run:
        of_launch = {key: fields.pop(key) for key in list(fields) if key in Launch.__dataclass_fields__}
        launch = None if script is None else self.launch(script, **of_launch)
        named = {
            "machine": self.machine,
            "folder": self.folder,
            "recorder": MemoryRecorder(),
            "launch": launch,
        }
        return Run(**(named | {"grace_seconds": 1} | fields))

    def launch(self, script: str, **fields: Any) -> Launch:
        environment = {"PATH": "/usr/bin:/bin"}
        named = {"folder": self.folder, "script": script, "working_directory": str(self.folder.parent)}
        return Launch(**(named | {"environment": environment, "kill_after_seconds": 1} | fields))

    @property
    def state(self) -> RunState:
        return self.machine.status(self.folder).state

    def file(self, name: str) -> Path:
        return self.folder.parent / name

    def clean_up(self) -> None:
        self.machine.cancel(self.folder, grace_seconds=0)
        deadline = time.monotonic() + LIMIT_SECONDS
        while not self.machine.gone(self.folder) and time.monotonic() < deadline:
            time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "attempt")
    yield made
    made.clean_up()


def recorder_of(run: Run) -> MemoryRecorder:
    assert isinstance(run.recorder, MemoryRecorder)
    return run.recorder


async def perform(run: Run) -> Outcome:
    async with asyncio.timeout(LIMIT_SECONDS):
        return await run.perform()


# --- start to end ---


async def test_a_command_is_started_followed_and_cleaned_up(place):
    before = datetime.now(UTC)
    run = place.run("echo out; echo err >&2")
    outcome = await perform(run)
    said = recorder_of(run)
    assert (outcome.exit_code, outcome.reason, outcome.output_cut, outcome.succeeded) == (
        0,
        None,
        False,
        True,
    )
    assert said.outcome == outcome
    assert (said.text("stdout"), said.text("stderr")) == (b"out\n", b"err\n")
    assert said.start is not None
    assert outcome.ended_at is not None
    assert before.timestamp() - 1 <= said.start.timestamp() <= outcome.ended_at.timestamp()
    assert not place.folder.exists()


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 3", 3, None),
        ("exit 255", 255, None),
        ("exit 137", 137, None),
        ("no-such-command", 127, "command not found"),
        ("/etc/passwd", 126, "not executable"),
        ("kill -9 $$", -9, "ended by signal 9 (SIGKILL)"),
        ("kill -15 $$", -15, "ended by signal 15 (SIGTERM)"),
    ],
)
async def test_each_end_is_told_from_the_others(place, script, code, reason):
    outcome = await perform(place.run(script))
    assert (outcome.exit_code, outcome.reason, outcome.succeeded) == (code, reason, False)


async def test_a_command_that_is_asked_to_end_and_exits_with_zero_has_not_succeeded(place):
    outcome = await perform(place.run("trap 'exit 0' TERM; sleep 30 & wait", timeout_seconds=0.2))
    assert (outcome.exit_code, outcome.reason, outcome.succeeded) == (0, "timeout", False)


async def test_long_output_comes_in_order_in_chunks_that_fit_a_row(place):
    run = place.run("seq 1 300000; seq 1 1000 >&2")
    await perform(run)
    said = recorder_of(run)
    assert said.text("stdout") == b"".join(b"%d\n" % n for n in range(1, 300001))
    assert said.text("stderr") == b"".join(b"%d\n" % n for n in range(1, 1001))
    assert max(len(chunk.data) for chunk in said.chunks) <= CHUNK_BYTES
    position = Position()
    for chunk in said.chunks:
        assert chunk.offset == position.of(chunk.stream)
        position.advance(chunk)


async def test_output_is_recorded_while_the_command_runs(place):
    run = place.run("echo first; while [ ! -e go ]; do sleep 0.05; done; echo last")
    task = asyncio.create_task(run.perform())
    await until(lambda: recorder_of(run).text("stdout") == b"first\n")
    assert recorder_of(run).outcome is None
    place.file("go").touch()
    await task
    assert recorder_of(run).text("stdout") == b"first\nlast\n"


async def test_a_command_that_exits_by_itself_may_leave_something_behind_on_purpose(place):
    started = time.monotonic()
    outcome = await perform(place.run("sleep 60 >/dev/null 2>&1 & echo $! > left"))
    left = int(place.file("left").read_text())
    try:
        assert (outcome.exit_code, time.monotonic() - started < 50) == (0, True)
        os.kill(left, 0)
    finally:
        os.kill(left, 9)


# --- what cannot start ---


async def test_a_command_without_a_place_to_run_ends_with_the_sentence(place):
    outcome = await perform(place.run("true", working_directory="/no/such/folder"))
    assert (outcome.exit_code, outcome.reason) == (
        None,
        "the working directory /no/such/folder does not exist",
    )


async def test_an_attempt_whose_folder_is_gone_is_not_started_again(place):
    outcome = await perform(place.run())
    assert (outcome.exit_code, outcome.reason) == (None, "outcome unknown: its folder is gone")


class LateMachine(LocalMachine):
    """Its supervisor answers too late: after the start has been given up."""

    def __init__(self, *, starts: bool) -> None:
        super().__init__()
        self._starts = starts

    def start(self, launch: Launch) -> None:
        if self._starts:
            super().start(launch)
        else:  # as far as a start comes before its supervisor is asked for
            launch.folder.mkdir()
        raise SupervisorError("the supervisor did not answer in 20 s")


async def test_a_start_that_was_given_up_but_came_about_is_followed_not_lost(place):
    place.machine = LateMachine(starts=True)
    run = place.run("sleep 0.3; echo done")
    assert (await perform(run)).exit_code == 0
    assert recorder_of(run).text("stdout") == b"done\n"


async def test_a_start_that_was_given_up_and_comes_later_runs_nothing(place):
    """What is left of the folder is removed; a start in it that was under way finds it cancelled."""
    place.machine = LateMachine(starts=False)
    kept = place.folder.with_name("kept")
    place.machine.remove = lambda folder: folder.rename(kept)  # type: ignore[method-assign]
    outcome = await perform(place.run("touch ran"))
    assert (outcome.exit_code, outcome.reason) == (None, "the supervisor did not answer in 20 s")
    assert (kept / "by.cancelled").exists()
    assert not place.file("ran").exists()


# --- attaching again ---


async def let_go(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_letting_go_of_a_run_leaves_its_command_running_and_another_finds_it(place):
    first = place.run("echo $$ >> starts; echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 7")
    task = asyncio.create_task(first.perform())
    await until(lambda: recorder_of(first).text("stdout") == b"one\n")
    await let_go(task)
    assert place.state is RunState.RUNNING
    second = place.run(position=Position(stdout=4))
    task = asyncio.create_task(second.perform())
    await until(lambda: recorder_of(second).start is not None)
    place.file("go").touch()
    outcome = await task
    assert outcome.exit_code == 7
    assert recorder_of(second).text("stdout") == b"two\n"
    assert recorder_of(second).chunks[0].offset == 4
    assert recorder_of(second).start == recorder_of(first).start
    assert len(place.file("starts").read_text().splitlines()) == 1


async def test_a_second_start_of_the_same_attempt_only_follows(place):
    script = "echo $$ >> starts; while [ ! -e go ]; do sleep 0.05; done"
    runs = [place.run(script), place.run(script)]
    tasks = [asyncio.create_task(run.perform()) for run in runs]
    await until(lambda: all(recorder_of(run).start is not None for run in runs))
    place.file("go").touch()
    assert [outcome.exit_code for outcome in await asyncio.gather(*tasks)] == [0, 0]
    assert len(place.file("starts").read_text().splitlines()) == 1


async def test_what_ended_while_nobody_watched_is_found_with_its_output_and_real_exit_code(place):
    place.machine.start(place.launch("echo alone; exit 5"))
    await until(lambda: place.state is RunState.ENDED)
    run = place.run()
    assert (await perform(run)).exit_code == 5
    assert recorder_of(run).text("stdout") == b"alone\n"


class Failing(MemoryRecorder):
    """Stores what it is given once, and is away the next time."""

    async def output(self, chunks: Sequence[Chunk]) -> None:
        if self.chunks:
            raise ConnectionError("the database is away")
        await super().output(chunks)


async def test_what_could_not_be_stored_is_read_again_byte_for_byte(place):
    seen = Failing()
    failing = place.run("echo one; sleep 1; echo two", recorder=seen)
    with pytest.raises(ConnectionError):
        await perform(failing)
    second = place.run(position=failing.position)
    await perform(second)
    assert seen.text("stdout") + recorder_of(second).text("stdout") == b"one\ntwo\n"


# --- the end of the tree ---

TREE = "sleep 600 & echo $! >> pids; sh -c 'echo $$ >> pids; sleep 600; true' & echo ready; wait"


def alive(pids: Sequence[int]) -> list[int]:
    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    return [pid for pid in pids if lives(pid)]


async def test_a_cancelled_run_ends_when_its_whole_tree_is_gone(place):
    run = place.run(TREE)
    task = asyncio.create_task(run.perform())
    await until(lambda: b"ready" in recorder_of(run).text("stdout"))
    await until(lambda: len(place.file("pids").read_text().splitlines()) == 2)
    place.machine.cancel(place.folder, grace_seconds=1)
    outcome = await task
    assert outcome.reason == "cancelled"
    assert not outcome.succeeded
    assert alive([int(line) for line in place.file("pids").read_text().split()]) == []


async def test_a_run_whose_supervisor_was_killed_is_lost_and_its_tree_ends_before_its_slot_is_free(place):
    run = place.run(TREE)
    task = asyncio.create_task(run.perform())
    await until(lambda: b"ready" in recorder_of(run).text("stdout"))
    await until(lambda: len(place.file("pids").read_text().splitlines()) == 2)
    supervisor = place.machine.status(place.folder).pid
    assert supervisor is not None
    os.kill(supervisor, 9)
    outcome = await task
    assert (outcome.exit_code, outcome.succeeded) == (None, False)
    assert outcome.reason == "outcome unknown: the process is gone and left no exit code"
    assert alive([int(line) for line in place.file("pids").read_text().split()]) == []
