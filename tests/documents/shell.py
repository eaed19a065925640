"""A shell for one page: in a network and a process tree of its own, so that the usual ports are free there
and nothing of it is left."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.documents.blocks import Step
from tests.waiting import missing, need_programs

BIN = Path(sys.executable).parent
CLOSED = ["--net", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
END = re.compile(r"\036(\d+)\036\n")
COMMAND_SECONDS = 600.0
START_SECONDS = 300.0
UNREACHABLE = 69  # what `batch` ends with while the daemon starts


class Shell:
    def __init__(self, home: Path, programs: Path, variables: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "TMPDIR")}
        environment = kept | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "PATH": f"{programs}:{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "USER": "ann",
            "LOGNAME": "ann",
            "LANG": "C.UTF-8",
            "TZ": by_day(),
            "COLUMNS": "110",
            **variables,
        }
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        self._process = subprocess.Popen(
            ["unshare", *CLOSED, *as_root, "bash", "--norc", "--noprofile"],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._said: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, command: str) -> tuple[int, str]:
        """Its exit code, and what it said on both streams."""
        assert self._process.stdin is not None
        self._process.stdin.write("{ " + command + "\n} </dev/null 2>&1\nprintf '\\036%d\\036\\n' $?\n")
        self._process.stdin.flush()
        deadline, said = time.monotonic() + COMMAND_SECONDS, ""
        while not (end := END.search(said)):
            try:
                line = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no end of: {command}\nso far: {said}") from None
            assert line is not None, f"the shell has ended: {said}"
            said += line
        return int(end[1]), said[: end.start()]

    def take(self, step: Step) -> None:
        """Run it, again and again while the daemon starts, and compare what it said."""
        deadline = time.monotonic() + START_SECONDS
        code, said = self.run(step.command)
        while code == UNREACHABLE and time.monotonic() < deadline:
            time.sleep(0.2)
            code, said = self.run(step.command)
        shown = f"line {step.line}: $ {step.command}\nexit code {code}, and it said:\n{said}"
        assert code == 0, shown
        wanted = "\n".join(step.expected)
        assert step.is_answered_by(said), f"{shown}\nbut the page shows:\n{wanted}"

    def end(self) -> None:
        self._process.kill()  # and with it every process inside
        self._process.wait(60)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put(None)


@contextmanager
def shell(home: Path, programs: Path, variables: Mapping[str, str]) -> Iterator[Shell]:
    need_programs("unshare", "ip", "bash")
    opened = Shell(home, programs, variables)
    try:
        code, said = opened.run("ip link set lo up")
        if code:
            missing(f"no network of one's own here: {said}")
        yield opened
    finally:
        opened.end()


def by_day() -> str:
    """A time zone in which it is about noon, so that the nights of the pages are to come."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def stand_in(programs: Path, name: str, text: str) -> None:
    """A program that only pretends; whoever has the real one runs that."""
    path = programs / name
    path.write_text(text)
    path.chmod(0o755)
