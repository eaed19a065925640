"""docs/reference/cli.md says everything that the command line can."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import batchd_cli
import batchd_flows
from batchd_cli import client, errors
from batchd_cli.common import Command, common_options
from batchd_cli.errors import EXIT_CODES, BatchError
from batchd_cli.job_calls import JobFilter, Order
from batchd_cli.lazy import COMMANDS, command_module
from batchd_cli.record import Record
from batchd_cli.records import Job, Queue, Schedule
from batchd_cli.running import INTERRUPTED, USAGE

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")


def _section(title: str) -> str:
    return re.split(rf"^## {title}$", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]


def test_the_page_is_as_the_commands_are() -> None:
    done = subprocess.run([sys.executable, DOCS / "make_cli_reference.py", "--check"], timeout=60)
    assert done.returncode == 0, "run python docs/make_cli_reference.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section_with_all_its_options(name: str) -> None:
    command: Command = command_module(name).command
    section = _section(name)
    for param in command.own:
        if isinstance(param, click.Option):
            assert all(option in section for option in param.opts), f"{name} {param.opts}"


def test_every_common_option_is_there() -> None:
    section = _section("Common options")
    assert all(name in section for option in common_options(set()) for name in option.opts)


def _errors(kind: type[BatchError]) -> set[type[BatchError]]:
    return {kind}.union(*map(_errors, kind.__subclasses__()))


def test_every_exit_code_is_there_and_in_the_help() -> None:
    used = {error.exit_code for error in _errors(BatchError)} | {0, INTERRUPTED, USAGE}
    assert used == set(EXIT_CODES)
    section = _section("Exit codes")
    assert all(f"| {code} |" in section for code in used)


def _public(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def test_every_name_for_programs_is_in_the_python_reference() -> None:
    records = [one for name in client.__all__ if _is_record(one := getattr(client, name))]
    assert {Job, Queue, Schedule} <= set(records)
    names = {*client.__all__, *batchd_cli.__all__, *batchd_flows.__all__}
    names |= {f"Client.{name}" for name in _public(client.Client)}
    names |= {f"JobHandle.{name}" for name in ("job", "wait", "follow", "cancel")}
    names |= {error.__name__ for error in _errors(BatchError) if error.__module__ == errors.__name__}
    names |= {f"`{key}`" for record in records for key in record._names}
    names |= {f"`{key}`" for words in (JobFilter, Order) for key in words.__annotations__}
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert {name for name in names if name not in page} == set()


def _is_record(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Record)
