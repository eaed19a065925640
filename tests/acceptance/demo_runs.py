"""`make demo` as a process, and what is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.harness import MARK, until
from tests.packaging import ROOT
from tests.prefect_server import free_port

DEMO_SECONDS = 240
ROW = re.compile(r"│ #(\d+) +│ (\S+).*?│ (\w+) +│ (\d+) +│ (\d+) +│ (.+?) +│")


def demo_environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BATCH", "PREFECT"))}
    return kept | {
        "HOME": str(home.parent),
        "COLUMNS": "120",
        MARK: home.parent.name,
        "DEMO_HOME": str(home),
        "DEMO_PORT": str(free_port()),
        "DEMO_PREFECT_PORT": str(free_port()),
    }


def run(home: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=demo_environment(home),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=DEMO_SECONDS,
    )


def left(home: Path) -> list[str]:
    """Command lines of processes that name the demo's folder or came of it."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and f"{MARK}={home.parent.name}" in (folder / "environ").read_text():
                found.append((folder / "cmdline").read_text())
        except (OSError, UnicodeDecodeError):
            continue
    return found


@dataclass(frozen=True, kw_only=True)
class KeptDemo:
    """A demo that has shown its table and stays until Ctrl-C."""

    home: Path
    prefect_url: str

    @property
    def prefect_auth(self) -> str:
        return (self.home / "state" / "prefect-auth").read_text().strip()


@contextmanager
def kept_demo(folder: Path) -> Iterator[KeptDemo]:
    """`make demo KEEP=1`; afterwards Ctrl-C, and nothing may be left."""
    home = folder / "demo"
    environment = demo_environment(home)
    with (folder / "said").open("w") as said:
        kept = subprocess.Popen(
            ["make", "demo", "KEEP=1"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def text() -> str:
        return (folder / "said").read_text()

    def stays() -> bool:
        assert kept.poll() is None, text()
        return "Running until Ctrl-C." in text()

    try:
        until(DEMO_SECONDS, "the demo to stay", stays)
        yield KeptDemo(home=home, prefect_url=f"http://127.0.0.1:{environment['DEMO_PREFECT_PORT']}")
    finally:
        if kept.poll() is None:
            os.killpg(kept.pid, signal.SIGINT)
            kept.wait(60)
    assert "Traceback" not in text()
    until(30, "everything to end", lambda: not left(home))
