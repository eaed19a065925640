"""Start-up is a person's time: what `batch` imports, and how long that takes."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchd_cli.lazy import COMMANDS, command_module

from .conftest import BATCH, JOB, QUEUE, Manager

HEAVY = ("prefect", "sqlalchemy", "fastapi", "httpx", "rich", "dateparser", "dateutil", "yaml", "pydantic")
LIMIT = 1.8
DRAWN_LIMIT = 3.5


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


def _seconds(command: list[str], **popen: Any) -> float:
    """Of the processor: the clock on the wall tells more of what else the machine does."""
    begin = _used_seconds()
    subprocess.run(command, check=True, timeout=60, **{"stdout": subprocess.DEVNULL} | popen)
    return _used_seconds() - begin


def _used_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ratio(command: list[str], **popen: Any) -> float:
    """Of bare click + urllib; the quickest of several runs each, taken in turns, so that a busy machine
    slows both."""
    bare = [sys.executable, "-c", "import click, urllib.request, json"]
    _seconds(bare), _seconds(command, **popen)
    runs = [(_seconds(bare), _seconds(command, **popen)) for _ in range(8)]
    return min(run[1] for run in runs) / min(run[0] for run in runs)


def test_help_takes_at_most_1_8_of_bare_click_and_urllib(home: Path) -> None:
    ratio = _ratio([str(BATCH), "--help"])
    assert ratio <= LIMIT, f"{ratio:.2f} of bare click + urllib"


def test_a_command_without_a_table_takes_at_most_1_8_of_bare_click_and_urllib(
    manager: Manager, home: Path
) -> None:
    manager.answer("GET", "/host", ["blade"])
    ratio = _ratio([str(BATCH), "host"], env=os.environ | {"BATCH_MANAGER_URL": manager.url})
    assert ratio <= LIMIT, f"{ratio:.2f} of bare click + urllib"


def test_ls_with_its_table_drawn_takes_at_most_3_5_of_bare_click_and_urllib(
    manager: Manager, home: Path
) -> None:
    manager.answer("GET", "/queue", [QUEUE])
    environment = os.environ | {"BATCH_MANAGER_URL": manager.url, "FORCE_COLOR": "1"}
    assert "rich" in _imported("ls", BATCH_MANAGER_URL=manager.url, FORCE_COLOR="1")
    ratio = _ratio([str(BATCH), "ls"], env=environment)
    assert ratio <= DRAWN_LIMIT, f"{ratio:.2f} of bare click + urllib"


@pytest.mark.parametrize(("name", "text"), COMMANDS.items())
def test_the_tables_sentence_is_the_commands_own(name: str, text: str) -> None:
    paragraph = " ".join(command_module(name).command.help.split("\n\n")[0].split())
    assert paragraph == text
    assert "Example" in command_module(name).command.help
