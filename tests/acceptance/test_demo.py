"""`make demo`: what it prints, that it works again, and that it fails when a job does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.daemon import JOB_TYPES
from tests.acceptance.harness import MARK, until
from tests.packaging import ROOT
from tests.prefect_server import free_port

pytestmark = pytest.mark.timeout(300)
DEMO_SECONDS = 240
ROW = re.compile(r"│ #(\d+) +│ (\S+).*?│ (\w+) +│ (\d+) +│ (\d+) +│ (.+?) +│")

Demo = Callable[..., subprocess.CompletedProcess[str]]


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


def test_the_demo_runs_three_jobs_and_does_so_again(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    for first_job in (1, 4):
        done = run(home, "make", "--no-print-directory", "demo")
        assert done.returncode == 0, done.stdout + done.stderr
        rows = [match.groups() for match in map(ROW.search, done.stdout.splitlines()) if match]
        assert rows == [
            (str(first_job), "command:", "Done", "0", "0", "Completed"),
            (str(first_job + 1), "countdown:", "Done", "0", "0", "Completed"),
            (str(first_job + 2), "second-try:", "Done", "0", "1", "Failed, Completed"),
        ]
        said = done.stdout
        assert f"  #{first_job} | A JOB GOES THROUGH A PIPE" in said
        assert f"  #{first_job + 1} ! this line goes to stderr" in said
        for line in ("5", "4", "3", "2", "1"):
            assert f"  #{first_job + 1} | {line}\n" in said
        assert "The facade:" in said
        assert "The Prefect UI:" in said
        assert str(home / "state" / "prefect-auth") in said
        assert left(home) == []


def test_the_demo_fails_when_a_job_does_not_end_as_it_should(tmp_path: Path) -> None:
    types = tmp_path / "jobtypes"
    types.mkdir()
    for file in JOB_TYPES.iterdir():
        text = file.read_text()
        if file.stem == "second-try":
            text = text.replace('"this time it worked"', '"again not"; exit 1')
        (types / file.name).write_text(text)
    home = tmp_path / "demo"
    program = f"""
import pathlib, sys, demo.daemon
demo.daemon.JOB_TYPES = pathlib.Path({str(types)!r})
from demo.run import main
sys.argv[1:] = []
sys.exit(main())
"""
    done = run(home, sys.executable, "-c", program)
    assert done.returncode == 1, done.stdout
    assert done.stderr == "demo: did not end as it should: #3 (second-try: fails once)\n"
    assert left(home) == []


@pytest.mark.slow
def test_the_demo_that_is_kept_runs_until_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    with (tmp_path / "said").open("w+") as said:
        kept = subprocess.Popen(
            ["make", "demo", "KEEP=1"],
            cwd=ROOT,
            env=demo_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def text() -> str:
            return (tmp_path / "said").read_text()

        until(DEMO_SECONDS, "the demo to stay", lambda: "Running until Ctrl-C." in text())
        assert kept.poll() is None
        os.killpg(kept.pid, signal.SIGINT)
        kept.wait(60)
        assert "Traceback" not in text()
        until(30, "everything to end", lambda: not left(home))
