"""A crash between any two steps of supervisor or dispatcher, on the real files; then a new dispatcher comes.

The command has run at most once, and its outcome is the true one, or said to be unknown.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from batchd_api.db.tables import attempts, output
from batchd_api.recorder import Attempt, Recorder
from batchd_flows.job_types import OnFail
from batchd_flows.local_machine import LocalMachine
from batchd_flows.run import Chunk, MemoryRecorder, Outcome, Position, Run
from batchd_flows.supervisor import Launch, Machine, RunState, SupervisorError
from tests.ground import Installation, installation
from tests.waiting import missing, wait_until

pytestmark = pytest.mark.anyio

EXIT_CODE = 3
# Every command that bash runs in the supervisor itself (not in what it forks) is a step.
KILLER = """\
batchd_steps=0
batchd_step() {{
    [ "$BASHPID" = "$$" ] || return 0
    batchd_steps=$((batchd_steps + 1))
    [ "$batchd_steps" -ne {step} ] || kill -KILL $$
}}
if grep -zqx run /proc/$$/cmdline; then set -T; trap batchd_step DEBUG; fi
"""
# `settled` looks again and again: how often is chance, and each look is the same.
MOST_STEPS = 400
SAMPLE = 11


@dataclass(frozen=True)
class Place:
    folder: Path
    witness: Path

    @property
    def launch(self) -> Launch:
        return Launch(
            folder=self.folder,
            script=f"echo start >>{self.witness}; echo out; exit {EXIT_CODE}",
            environment={"PATH": "/usr/bin:/bin"},
            working_directory="/",
            timeout_seconds=60,
            kill_after_seconds=1,
        )

    def starts(self) -> int:
        return len(self.witness.read_text().splitlines()) if self.witness.exists() else 0


def place(folder: Path, name: object) -> Place:
    return Place(folder / f"attempt-{name}", folder / f"witness-{name}")


async def recovered(place: Place) -> tuple[Outcome, bytes]:
    """What a dispatcher that comes later makes of it."""
    recorder = MemoryRecorder()
    run = Run(
        machine=LocalMachine(), folder=place.folder, recorder=recorder, launch=place.launch, grace_seconds=0
    )
    return await run.perform(), recorder.text("stdout")


def killed_at(place: Place, step: int) -> bool:
    """Start it with a supervisor that is killed before this step. False: it came to its end before."""
    bash = shutil.which("bash")
    if bash is None:
        missing("bash is not on this machine")
    killer = place.folder.with_name(f"{place.folder.name}.sh")
    killer.write_text(KILLER.format(step=step))
    machine = LocalMachine(shell=("/usr/bin/env", f"BASH_ENV={killer}", bash))
    try:
        machine.start(place.launch)
    except SupervisorError:
        return True
    wait_until(lambda: machine.status(place.folder).state is not RunState.RUNNING, 20, "its end")
    return machine.status(place.folder).state is not RunState.ENDED


async def truth_after_a_kill(folder: Path, step: int) -> tuple[bool, int | None]:
    """Whether the supervisor was killed before it had come to its end, and the exit code that is known."""
    here = place(folder, step)
    was_killed = killed_at(here, step)
    group = group_of(here.folder)
    outcome, said = await recovered(here)
    assert here.starts() <= 1, f"step {step}: it ran twice"
    if outcome.exit_code is None:
        assert was_killed, f"step {step}"
        assert (outcome.reason or "").startswith("outcome unknown"), f"step {step}: {outcome}"
    else:
        truth = (outcome.exit_code, outcome.reason, said, here.starts())
        assert truth == (EXIT_CODE, None, b"out\n", 1), f"step {step}"
    assert not here.folder.exists(), f"step {step}"
    wait_until(lambda: not processes_of(here.folder), 20, f"the last process of step {step}")
    assert group is None or not group.is_dir(), f"step {step}: its control group is left"
    return was_killed, outcome.exit_code


def group_of(folder: Path) -> Path | None:
    """The control group that its supervisor has made, or was about to make."""
    text = (folder / "group").read_text().strip() if (folder / "group").exists() else ""
    return Path(text) if text else None


def processes_of(folder: Path) -> list[str]:
    """The supervisor and its readers. Not its watch, which sleeps until the time limit and then goes too."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_ours = os.fsencode(folder) in (path / "cmdline").read_bytes().split(b"\0")
            if is_ours and not (path / "task" / path.name / "children").read_text().strip():
                found.append(path.name)
    return found


async def killed_before_each(folder: Path, steps: Iterable[int]) -> list[int | None]:
    """The exit codes that are known, to the first step that a supervisor never comes to."""
    known: list[int | None] = []
    for step in steps:
        was_killed, code = await truth_after_a_kill(folder, step)
        if not was_killed:
            return known
        known.append(code)
    raise AssertionError("it never came to an end")


async def test_a_supervisor_killed_at_some_of_its_steps_tells_the_truth_or_nothing(tmp_path: Path) -> None:
    assert EXIT_CODE in await killed_before_each(tmp_path, range(1, MOST_STEPS, SAMPLE))


@pytest.mark.slow  # about ninety steps
async def test_a_supervisor_killed_at_any_of_its_steps_tells_the_truth_or_nothing(tmp_path: Path) -> None:
    known = await killed_before_each(tmp_path, range(1, MOST_STEPS))
    assert len(known) > 30
    assert set(known) == {EXIT_CODE, None}


# --- the dispatcher ---


class Crash(Exception):
    """The process is gone."""


class Steps:
    """Everything that a run does to the world, counted; at one of them it dies, before it or after it."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._at, self._after = at, after
        self._count = itertools.count(1)

    def taken(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        dies = next(self._count) == self._at
        if dies and not self._after:
            raise Crash
        result = step(*args, **kwargs)
        if dies:
            raise Crash
        return result


class Watched:
    """A machine whose every call is a step."""

    def __init__(self, machine: LocalMachine, steps: Steps) -> None:
        self._machine, self._steps = machine, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._machine, name)
        if name not in Machine.__abstractmethods__:
            return found
        return lambda *args, **kwargs: self._steps.taken(found, *args, **kwargs)


class Reports:
    """What a run reports, written into the database as the dispatcher does; every write is a step."""

    def __init__(self, recorder: Recorder, attempt: Attempt, steps: Steps) -> None:
        self._recorder, self._attempt, self._steps = recorder, attempt, steps

    async def started(self, at: datetime) -> None:
        self._steps.taken(self._recorder.started, self._attempt, at)

    async def output(self, chunks: Sequence[Chunk]) -> None:
        self._steps.taken(self._recorder.add_output, self._attempt, chunks)

    async def cut(self) -> None:
        raise AssertionError("nothing is cut here")

    async def ended(self, outcome: Outcome) -> None:
        self._steps.taken(self._recorder.ended, self._attempt, outcome, OnFail(), datetime.now(UTC))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installation(f"sqlite:///{tmp_path / 'batchd.db'}") as here:
        yield here


async def lives(here: Installation, place: Place, steps: Steps) -> bool:
    """One dispatcher's life with the attempt. False: it died at its step."""
    recorder = Recorder(here.database)
    living = recorder.alive("d")
    if not living:
        return True  # and its folder is what `remove_leftovers` finds
    machine: Any = Watched(LocalMachine(), steps)
    run = Run(
        machine=machine,
        folder=place.folder,
        recorder=Reports(recorder, living[0], steps),
        launch=place.launch,
        position=Position(stdout=living[0].stdout_bytes, stderr=living[0].stderr_bytes),
        grace_seconds=0,
    )
    try:
        await run.perform()
    except Crash:
        return False
    return True


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_dispatcher_that_dies_at_any_step_and_again_leaves_the_truth_to_the_next(
    here: Installation, tmp_path: Path, after: bool
) -> None:
    for step in itertools.count(1):
        job_id, mine = here.enqueue(), place(tmp_path, step)
        here.attempt(job_id, state="taken", started_at=None)
        is_whole = await lives(here, mine, Steps(step, after=after))
        if not is_whole:
            await lives(here, mine, Steps(max(1, step // 2), after=not after))  # the next one dies too
            await lives(here, mine, Steps(0, after=False))
        assert here.row(job_id).status == "Failed"
        with here.database.read() as connection:
            (attempt,) = connection.execute(select(attempts).where(attempts.c.job_id == job_id))
            said = connection.execute(select(output.c.data).where(output.c.job_id == job_id)).scalars()
            assert (attempt.exit_code, attempt.reason, b"".join(said)) == (EXIT_CODE, None, b"out\n")
        assert mine.starts() == 1
        if is_whole:
            break
    assert step > 8
