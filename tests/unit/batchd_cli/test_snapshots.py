"""How every command looks: on a terminal, in a pipe, as JSON."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchd_cli.lazy import COMMANDS

from . import snapshot
from .conftest import Batch, Manager, playing
from .played import play

CASES = {
    "enqueue": "enqueue make report",
    "enqueue-dry-run": "enqueue --dry-run -q night make report",
    "run": "run make report",
    "ls": "ls",
    "ls-jobs": "ls night",
    "ls-all-jobs": "ls -a night",
    "job": "job 17",
    "job-failed": "job 9",
    "job-results": "job 9 -a",
    "job-change": "job 17 -p first -v",
    "logs": "logs 9",
    "logs-follow": "logs 9 -f",
    "why": "why 9 12 14 17",
    "wait": "wait 9",
    "top": "top --once",
    "open": "open 9 --print",
    "cancel": "cancel 17 -v",
    "cancel-dry-run": "cancel 12 17 --dry-run",
    "retry": "retry --user anna -v",
    "hold": "hold 17 -v",
    "release": "release 14 -v",
    "queue": "queue night",
    "queue-change": "queue night -D -v",
    "schedule": "schedule",
    "schedule-one": "schedule nightly",
    "type": "type",
    "type-one": "type command",
    "host": "host",
    "host-one": "host blade",
    "host-test": "host test blade",
    "host-drain": "host drain blade -v",
    "stats": "stats",
    "monitor": "monitor batchd.jobs",
    "user": "user",
    "grant": "grant anna",
    "login": "login",
    "logout": "logout",
    "config": "-M http://manager:9681 config show",
    "completion": "completion fish",
    "shell": "shell",
    "not-found": "queue nihgt",
    "usage": "ls --al",
}
MARK = "@@@@@"
ALL_AT_ONCE = """
import json, sys
from batchd_cli.common import Common
from batchd_cli.main import cli
from batchd_cli.running import run
for name, line in json.loads(sys.argv[1]).items():
    print(f"{sys.argv[2]}{name}", flush=True)
    code = run(cli, line.split())
    print(f"exit code {code}", flush=True)
print(f"{sys.argv[2]}end", flush=True)
"""
"""One process for all of them: each would take a quarter of a second to start."""
PROGRESS = re.compile(r"\x1b\[\?25l.*?\x1b\[\?25h\r\x1b\[1A\x1b\[2K", re.DOTALL)
"""A moving line, from where it is drawn to where it is wiped out."""
WIDTH, HEIGHT = 100, 30


@pytest.fixture
def installation(manager: Manager) -> Manager:
    play(manager)
    return manager


def _settled(text: str, manager: Manager) -> str:
    """Without what differs from run to run."""
    text = text.replace(manager.url, "http://manager")
    text = PROGRESS.sub("(progress)", text)
    return re.sub(r"batchd  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "batchd  NOW", text)


@pytest.mark.parametrize("name", CASES)
def test_in_a_pipe(name: str, batch: Batch, installation: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115
    done = batch(*CASES[name].split())
    text = f"{done.out}--- stderr\n{done.err}--- exit code {done.code}\n"
    snapshot.matches(f"{name}.piped.txt", _settled(text, installation))


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("shell", "usage", "not-found")])
def test_as_json(name: str, batch: Batch, installation: Manager) -> None:
    done = batch(*CASES[name].split(), "--json")
    out = re.sub(r'"time": "2[^"]*", "queues"', '"time": "NOW", "queues"', done.out)
    for line in out.splitlines():
        json.loads(line)
    if CASES[name].split()[0] not in ("login", "logout"):  # which have nothing to do here
        assert out, "data comes as JSON"
    snapshot.matches(f"{name}.json.txt", _settled(out, installation))


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each of them shows on a terminal, by its name."""
    with playing() as manager:
        play(manager)
        yield _on_one_terminal(manager, tmp_path_factory.mktemp("home"))


def _on_one_terminal(manager: Manager, home: Path) -> dict[str, str]:
    foreign = ("BATCH", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", ALL_AT_ONCE, json.dumps(CASES), MARK],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env=kept
        | {
            "HOME": str(home),
            "LOGNAME": "anna",
            "TZ": "Europe/Berlin",
            "TERM": "xterm-256color",
            "BATCH_MANAGER_URL": manager.url,
        },
    )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # Linux says EIO when the last one has closed it
        pass
    finally:
        os.close(leader)
        process.wait(60)
    parts = shown.decode().replace("\r\n", "\n").split(MARK)[1:]
    return {name: _settled(text, manager) for name, _, text in (part.partition("\n") for part in parts)}


@pytest.mark.parametrize("name", CASES)
def test_on_a_terminal(name: str, terminal: dict[str, str]) -> None:
    assert "end" in terminal, "the process came to its end"
    lines = terminal[name].splitlines()
    if name not in ("completion", "shell"):
        assert (
            max(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)) for line in lines) <= WIDTH
            or name == "usage"
        )
    snapshot.matches(f"{name}.tty.txt", terminal[name].replace("\x1b", "␛"))


def test_every_command_is_among_them() -> None:
    assert set(COMMANDS) == {next(filter(COMMANDS.__contains__, line.split())) for line in CASES.values()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_three_snapshots(name: str) -> None:
    """Of `shell` there is no JSON: that is said by the commands that are typed there."""
    of_it = [case for case, line in CASES.items() if name in line.split()]
    for kind in ("piped", "tty", *(() if name == "shell" else ("json",))):
        assert any((snapshot.FOLDER / f"{case}.{kind}.txt").is_file() for case in of_it)


def test_no_snapshot_is_left_over() -> None:
    kinds = {"piped", "tty", "json"}
    names = {f"{name}.{kind}.txt" for name in CASES for kind in kinds}
    assert {path.name for path in snapshot.FOLDER.iterdir()} <= names
