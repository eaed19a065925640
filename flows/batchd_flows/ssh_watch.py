"""One look at all attempts on a host: a shell that stays there and answers, over one channel."""

from __future__ import annotations

import re
import secrets
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from batchd_flows.supervisor import RunState, RunStatus, Stream, parse_exit
from batchd_infra.ssh import SshConnection
from batchd_infra.ssh_channel import SshChannel
from batchd_infra.ssh_errors import CommandEnded, TooSlow, Unreachable

ANSWER_SECONDS = 30.0
FORGET_SECONDS = 5.0  # an attempt that nobody has asked for is not looked at any longer
_READ_BYTES = 1 << 18
_LINES_OF_AN_ATTEMPT = 5
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An attempt at one moment. `sizes` None: this host cannot tell them."""

    status: RunStatus
    sizes: Mapping[Stream, int] | None
    began: float  # by our monotonic clock: everything that was so before is in it


class HostWatch:
    """`command` starts a shell there and `script` is its first input, of that length."""

    def __init__(self, connection: SshConnection, command: str, script: bytes) -> None:
        self._connection = connection
        self._command = command
        self._script = script
        self._talking = threading.Lock()
        self._channel: SshChannel | None = None
        self._open = ExitStack()
        self._asked: dict[str, float] = {}
        self._seen: dict[str, Seen] = {}

    def see(self, folder: str, *, fresh_seconds: float) -> Seen:
        """As it was at most so long ago. Who has to wait for another's look shares the next one."""
        not_before = time.monotonic() - fresh_seconds
        self._asked[folder] = time.monotonic()
        with self._talking:
            seen = self._seen.get(folder)
            if seen is None or seen.began < not_before:
                self._look()
                seen = self._seen[folder]
        return seen

    def forget(self, folder: str) -> None:
        """Something was done to it that the last look does not know."""
        with self._talking:
            self._seen.pop(folder, None)

    def part(self, path: str, offset: int, limit: int) -> bytes:
        with self._talking:
            return self._ask(f"part {shlex.quote(path)} {offset} {limit}")

    def close(self) -> None:
        with self._talking:
            self._hang_up()

    def _look(self) -> None:
        began = time.monotonic()
        self._asked = {f: at for f, at in self._asked.copy().items() if at > began - FORGET_SECONDS}
        folders = list(self._asked)
        answer = self._ask(f"look {shlex.join(folders)}").decode(errors="replace")
        self._seen = understand(answer, folders, began)

    def _ask(self, request: str) -> bytes:
        fresh = self._channel is None
        try:
            return self._answer(request)
        except (Unreachable, CommandEnded) as error:
            self._hang_up()
            if fresh or isinstance(error, TooSlow):
                raise
        try:
            return self._answer(request)  # it was cut, or ended, while nobody used it
        except (Unreachable, CommandEnded):
            self._hang_up()
            raise

    def _answer(self, request: str) -> bytes:
        """Everything up to a word that the answer cannot hold, for nobody could guess it."""
        channel = self._channel or self._dial()
        word = secrets.token_hex(16)
        channel.write(f"{request}; echo {word}\n".encode())
        return _until(channel, f"{word}\n".encode())

    def _dial(self) -> SshChannel:
        channel = self._open.enter_context(self._connection.session(self._command))
        self._channel = channel
        word = secrets.token_hex(16)
        channel.write(self._script + f"echo {word}\n".encode())
        _until(channel, f"{word}\n".encode())  # before it, whatever the login's own files say
        return channel

    def _hang_up(self) -> None:
        self._channel = None
        self._open.close()


def _until(channel: SshChannel, end: bytes) -> bytes:
    said = bytearray()
    while not said.endswith(end):
        said += channel.read(_READ_BYTES, timeout_seconds=ANSWER_SECONDS)
    return bytes(said[: -len(end)])


def understand(answer: str, folders: Sequence[str], began: float) -> dict[str, Seen]:
    """What the shell function `look` prints. Raises Unreachable where it is cut short."""
    lines = answer.split("\n")
    facts: list[list[str]] = []
    while lines and lines[0] != "sizes" and len(facts) < len(folders):
        count = 1 if lines[0] == "absent" else _LINES_OF_AN_ATTEMPT
        facts.append(lines[:count])
        lines = lines[count:]
    if len(facts) != len(folders) or not lines or lines[0] != "sizes":
        raise Unreachable(f"the host gave no whole answer to a look at its attempts: {answer[:200]!r}")
    files = dict(_file(line) for line in lines[1:] if line.count("|") >= 2)
    return {
        folder: Seen(status=_status(folder, told, files), sizes=_sizes(folder, files), began=began)
        for folder, told in zip(folders, facts, strict=True)
    }


def _file(line: str) -> tuple[str, tuple[int, datetime | None]]:
    size, changed, name = line.split("|", 2)
    return name, (int(size) if size.isdigit() else 0, _time(changed))


def _time(text: str) -> datetime | None:
    """As `stat -c %y` says it in the zone UTC, with a fraction or without."""
    found = _TIME.match(text)
    if found is None:
        return None
    microseconds = int((found[2] or "").ljust(6, "0"))
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(microsecond=microseconds, tzinfo=UTC)


def _sizes(folder: str, files: Mapping[str, tuple[int, datetime | None]]) -> Mapping[Stream, int] | None:
    if f"{folder}/pid" not in files:
        return None  # not begun; or a host whose `stat` is none
    streams: tuple[Stream, ...] = ("stdout", "stderr")
    return {name: files.get(f"{folder}/{name}", (0, None))[0] for name in streams}


def _status(folder: str, told: Sequence[str], files: Mapping[str, tuple[int, datetime | None]]) -> RunStatus:
    if told[0] == "absent":
        return RunStatus(state=RunState.ABSENT)
    state, pid, ended, cancelled, why = told
    if state == "prepared":
        return RunStatus(state=RunState.PREPARED)
    nothing: tuple[int, datetime | None] = (0, None)
    started_at = files.get(f"{folder}/pid", nothing)[1]
    output_cut = files.get(f"{folder}/cut", nothing)[0] > 0
    parsed = parse_exit(ended, why) if state == "ended" else None
    if parsed is not None:
        return RunStatus(
            state=RunState.ENDED,
            exit_code=parsed.exit_code,
            signal=parsed.signal,
            reason=parsed.reason,
            started_at=started_at,
            ended_at=files.get(f"{folder}/exit", nothing)[1],
            output_cut=parsed.output_cut or output_cut,
        )
    if state == "running":
        number = int(pid) if pid.isdigit() else None
        return RunStatus(state=RunState.RUNNING, pid=number, started_at=started_at, output_cut=output_cut)
    return RunStatus(
        state=RunState.LOST,
        reason="cancelled" if cancelled else None,
        started_at=started_at,
        output_cut=output_cut,
    )
