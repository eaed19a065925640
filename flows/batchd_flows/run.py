"""One attempt, from its folder to its exit code: starts what has not started, reads on where it stopped.

The command belongs to its supervisor, not to us: this only follows the files. So the same call serves a first
start and a re-attachment after a crash.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from batchd_flows.patience import LOST_AFTER_SECONDS, MachineLost, Patience
from batchd_flows.supervisor import (
    Launch,
    Machine,
    MachineRefused,
    RunState,
    RunStatus,
    SupervisorError,
)

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")
CHUNK_BYTES = 64 * 1024
CHUNKS_A_WRITE = 16  # bounds the memory that one job's backlog of output takes
NOT_STARTED = (RunState.ABSENT, RunState.PREPARED)
LOOK_SECONDS = 0.4  # output is recorded well within a second of being written


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Bytes as the command wrote them, at most CHUNK_BYTES, from `offset` of their stream."""

    stream: Stream
    offset: int
    data: bytes
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended. `exit_code` null: nobody knows, `reason` says why.

    Who was asked to end (a time limit, a cancel) may still exit with 0; then there is a reason.
    """

    exit_code: int | None
    reason: str | None = None
    output_cut: bool = False
    ended_at: datetime | None = None

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and self.reason is None


class RunRecorder(Protocol):
    """Where a run's output and end go. Each call returns when it is stored."""

    async def started(self, at: datetime) -> None: ...

    async def output(self, chunks: Sequence[Chunk]) -> None: ...

    async def cut(self) -> None:
        """What the command writes from here on is not kept: its output limit, or a full disk."""

    async def ended(self, outcome: Outcome) -> None: ...


@dataclass
class MemoryRecorder:
    """Keeps everything in memory: for flows that run without a batchd database, and for tests."""

    start: datetime | None = None
    chunks: list[Chunk] = field(default_factory=list)
    outcome: Outcome | None = None
    is_cut: bool = False

    async def started(self, at: datetime) -> None:
        self.start = at

    async def output(self, chunks: Sequence[Chunk]) -> None:
        self.chunks.extend(chunks)

    async def cut(self) -> None:
        self.is_cut = True

    async def ended(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def text(self, stream: Stream) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks if chunk.stream == stream)


@dataclass
class Position:
    """How many bytes of each stream are recorded."""

    stdout: int = 0
    stderr: int = 0

    def of(self, stream: Stream) -> int:
        return self.stdout if stream == "stdout" else self.stderr

    def advance(self, chunk: Chunk) -> None:
        if chunk.stream == "stdout":
            self.stdout += len(chunk.data)
        else:
            self.stderr += len(chunk.data)


@dataclass(frozen=True, kw_only=True)
class Run:
    """An attempt on a machine. `launch` null: only follow what was started before.

    While the machine is out of reach the attempt goes on, for all we know: it is looked for again and again,
    and given up only after `lost_after_seconds`.
    """

    machine: Machine
    folder: Path
    recorder: RunRecorder
    launch: Launch | None = None
    position: Position = field(default_factory=Position)
    grace_seconds: float = 10
    lost_after_seconds: float = LOST_AFTER_SECONDS
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def perform(self) -> Outcome:
        """Start it if it has not started, follow it to its end, record all, clean up.

        Cancelling this coroutine only detaches: the command goes on.
        """
        try:
            return await self._perform()
        except MachineLost as error:
            return await self._record(Outcome(exit_code=None, reason=str(error)))

    @cached_property
    def _patience(self) -> Patience:
        return Patience(self.machine, lost_after_seconds=self.lost_after_seconds, clock=self.clock)

    async def _perform(self) -> Outcome:
        try:
            status, problem = await self._begin()
        except MachineRefused as error:
            return await self._record(Outcome(exit_code=None, reason=str(error)))
        if status.state in NOT_STARTED:
            return await self._end(Outcome(exit_code=None, reason=problem))
        await self.recorder.started(status.started_at or self.clock())
        status = await self._follow(status)
        if status.state is not RunState.ENDED or status.reason or status.signal:
            with suppress(MachineLost):  # how it ended is known all the same
                await self._end_tree()
        return await self._end(self._outcome(status))

    async def _begin(self) -> tuple[RunStatus, str]:
        """How it stands once it has started, or could not; then, why. Raises MachineRefused."""
        if self.launch is None:
            status = await self._patience.reach(self.machine.status, self.folder)
            return status, "outcome unknown: its folder is gone"
        status = await self._patience.reach_or_be_refused(self.machine.status, self.folder)
        if status.state in NOT_STARTED:
            return await self._start(self.launch)
        return status, ""

    async def _start(self, launch: Launch) -> tuple[RunStatus, str]:
        """How it stands then, and what stood against it. Where nothing has started, nothing will.

        A lost answer is no reason not to ask again: nothing that was started, or is being, starts once more.
        """
        try:
            await self._patience.reach(self.machine.start, launch)
        except SupervisorError as error:
            status = await self._patience.reach(self.machine.status, self.folder)
            if status.state is RunState.PREPARED:  # a slow starter may still come: it then ends at once
                await self._patience.reach(self.machine.cancel, self.folder, grace_seconds=0)
                status = await self._patience.reach(self.machine.status, self.folder)
            return status, str(error)
        return await self._patience.reach(self.machine.status, self.folder), "its folder is gone"

    async def _follow(self, status: RunStatus) -> RunStatus:
        is_told = False
        pid = status.pid if self.machine.here and status.state is RunState.RUNNING else None
        with _ExitWatch(pid) as exit_watch:
            while status.state is RunState.RUNNING:
                await exit_watch.wait(LOOK_SECONDS)
                # The state first, then the output: what was written before the end is then all read.
                status = await self._patience.reach(self.machine.status, self.folder)
                await self._read_output()
                if status.output_cut and not is_told:
                    await self.recorder.cut()
                    is_told = True
        await self._read_output()
        return status

    async def _read_output(self) -> None:
        while chunks := await self._patience.reach(self._next_chunks):
            await self.recorder.output(chunks)
            for chunk in chunks:
                self.position.advance(chunk)

    def _next_chunks(self) -> list[Chunk]:
        now = self.clock()
        chunks: list[Chunk] = []
        for stream in STREAMS:
            offset = self.position.of(stream)
            data = self.machine.read(self.folder, stream, offset, CHUNK_BYTES * CHUNKS_A_WRITE)
            for start in range(0, len(data), CHUNK_BYTES):
                part = data[start : start + CHUNK_BYTES]
                chunks.append(Chunk(stream=stream, offset=offset + start, data=part, time=now))
        return chunks

    def _outcome(self, status: RunStatus) -> Outcome:
        if status.state is not RunState.ENDED:
            unknown = "outcome unknown: the process is gone and left no exit code"
            return Outcome(exit_code=None, reason=unknown, output_cut=status.output_cut)
        reason = status.reason or (f"ended by {_signal_name(status.signal)}" if status.signal else None)
        return Outcome(
            exit_code=-status.signal if status.signal else status.exit_code,  # `exit 137` is not a KILL
            reason=reason,
            output_cut=status.output_cut,
            ended_at=status.ended_at,
        )

    async def _end_tree(self) -> None:
        """After anything but a plain exit: whatever is left of the tree ends, and only then the slot is free.

        (A command that exits by itself may leave something behind on purpose.)
        """
        while not await self._patience.reach(self.machine.gone, self.folder):
            await self._patience.reach(self.machine.cancel, self.folder, grace_seconds=self.grace_seconds)
            await asyncio.sleep(LOOK_SECONDS)

    async def _record(self, outcome: Outcome) -> Outcome:
        await self.recorder.ended(outcome)
        return outcome

    async def _end(self, outcome: Outcome) -> Outcome:
        await self._record(outcome)
        with suppress(MachineLost):  # what it leaves is for whoever reaches the machine next
            await self._patience.reach(self.machine.remove, self.folder)
        return outcome


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


class _ExitWatch:
    """Wakes when a process ends, where the system can say so (Linux' pidfd); else sleeps."""

    def __init__(self, pid: int | None) -> None:
        self._fd: int | None = None
        self._ended = asyncio.Event()
        if pid is not None:
            with suppress(OSError):
                self._fd = os.pidfd_open(pid)

    def __enter__(self) -> _ExitWatch:
        if self._fd is not None:
            asyncio.get_running_loop().add_reader(self._fd, self._ended.set)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        if self._fd is not None and self._ended.is_set():
            asyncio.get_running_loop().remove_reader(self._fd)  # it stays readable for ever
            self._ended.clear()
