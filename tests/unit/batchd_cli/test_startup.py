"""Start-up is a person's time: what `batch` imports, and how long that takes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchd_cli.lazy import COMMANDS, command_module

from .conftest import BATCH, JOB, Manager

HEAVY = ("prefect", "sqlalchemy", "fastapi", "httpx", "rich", "dateparser", "dateutil", "yaml", "pydantic")
LIMIT = 1.8


def _imported(*arguments: str, **environment: str) -> set[str]:
    """What the console script imports for a command line, by Python's own account."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(BATCH), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def _heavy(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules} & set(HEAVY)


def test_help_imports_nothing_heavy_and_no_command(home: Path) -> None:
    modules = _imported("--help")
    assert "batchd_cli.main" in modules
    assert not _heavy(modules)
    assert not {name for name in modules if name.startswith("batchd_cli.commands.")}
    assert not modules & {"http.client", "urllib.request", "ssl", "batchd_cli.client"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(name: str, home: Path) -> None:
    assert not _heavy(_imported(name, "--help"))


def test_a_command_in_a_pipe_imports_nothing_heavy(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/queue/night/jobs", [JOB])
    assert not _heavy(_imported("ls", "night", BATCH_MANAGER_URL=manager.url))


def test_yaml_is_imported_only_for_a_client_yaml(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/host", [])
    (home / ".config/batchd").mkdir(parents=True)
    (home / ".config/batchd/client.yaml").write_text("queue: night\n")
    assert _heavy(_imported("host", BATCH_MANAGER_URL=manager.url)) == {"yaml"}


def test_a_time_in_figures_does_not_import_dateparser(manager: Manager, home: Path) -> None:
    manager.answer("POST", "/queue/default", 1)
    arguments = ("enqueue", "-p", "command=true", "--at", "tomorrow 6:00")
    assert _heavy(_imported(*arguments, BATCH_MANAGER_URL=manager.url)) == {"dateutil"}


def _seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - begin


def test_help_takes_at_most_1_8_of_bare_click_and_urllib(home: Path) -> None:
    bare = [sys.executable, "-c", "import click, urllib.request, json"]
    asked = [str(BATCH), "--help"]
    _seconds(bare), _seconds(asked)
    runs = [(_seconds(bare), _seconds(asked)) for _ in range(8)]
    ratio = min(run[1] for run in runs) / min(run[0] for run in runs)
    assert ratio <= LIMIT, f"{ratio:.2f} of bare click + urllib"


@pytest.mark.parametrize(("name", "text"), COMMANDS.items())
def test_the_tables_sentence_is_the_commands_own(name: str, text: str) -> None:
    paragraph = " ".join(command_module(name).command.help.split("\n\n")[0].split())
    assert paragraph == text
    assert "Example" in command_module(name).command.help
