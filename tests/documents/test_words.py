"""Commands that a page only mentions: the word and every option are ones that the program knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
import yaml

from batchd_api.admin import main as batchd_admin
from batchd_api.daemon import main as batchd
from batchd_api.settings import load_settings
from batchd_cli.main import cli as batch
from tests.documents.blocks import blocks, steps
from tests.packaging import ROOT

PROGRAMS: dict[str, click.Command] = {"batch": batch, "batchd": batchd, "batchd-admin": batchd_admin}
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
KINDS = {"console", "yaml", "json", "python", "text", "mermaid", "{toctree}"}
CODE = re.compile(r"`([^`\n]+)`")
INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
END_OF_COMMAND = re.compile(r"\s(?:\||&&|;|>|2>)")


def mentioned(page: Path) -> Iterator[list[str]]:
    """The words of each command, from code in a line, from indented lines, and from console blocks."""
    whole = page.read_text(encoding="utf-8")
    text = FENCED.sub("", whole)
    shown = [step.command for block in blocks(page) if block.kind == "console" for step in steps(block)]
    for piece in [*CODE.findall(text), *INDENTED.findall(text), *shown]:
        for part in END_OF_COMMAND.split(piece):
            command = part.strip().removeprefix(".venv/bin/").removeprefix("/opt/batchd/bin/")
            is_usage = "[OPTIONS]" in command  # of a reference that is made from the commands
            if command.partition(" ")[0] in (*PROGRAMS, "make") and " " in command and not is_usage:
                yield words_of(command, piece)


def words_of(command: str, piece: str) -> list[str]:
    """A command that was cut inside its quotes is the whole piece; an apostrophe is none."""
    for text in (command, piece, command.replace("'", "\\'")):
        with suppress(ValueError):
            return shlex.split(text)
    raise AssertionError(f"no words: {piece}")


def check(words: list[str]) -> None:
    """Raises click.UsageError for a word or an option that there is not.

    With the settings of each: a command keeps its help option as the first context that asks for it names it.
    """
    command: click.Command = PROGRAMS[words[0]]
    rest = words[1:]
    context = click.Context(command, info_name=words[0], **command.context_settings)
    if isinstance(command, click.Group):
        rest = command.make_parser(context).parse_args(list(rest))[1]
        if not rest:
            return
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = click.Context(found, info_name=name, parent=context, **found.context_settings)
    command.make_parser(context).parse_args(list(rest))


def of_a_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=of_a_page)
def test_what_a_page_says_of_commands_can_be_said_to_them(page: Path) -> None:
    for words in mentioned(page):
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS, words
            continue
        try:
            check(words)
        except click.UsageError as error:
            raise AssertionError(f"{' '.join(words)}: {error.format_message()}") from error


def test_a_word_or_an_option_that_there_is_not_is_found() -> None:
    for words in (
        ["batch", "enqeue", "x"],
        ["batchd-admin", "upgrade-db", "--later"],
        ["batch", "ls", "--nonsense"],
    ):
        with pytest.raises(click.UsageError):
            check(words)


@pytest.mark.parametrize("page", PAGES, ids=of_a_page)
def test_a_block_is_of_a_kind_that_is_looked_at(page: Path) -> None:
    """No shell commands that nobody runs; YAML that can be read; Python that can be compiled."""
    for block in blocks(page):
        assert block.kind in KINDS, f"line {block.line}: {block.kind}"
        if block.kind == "yaml":
            yaml.safe_load(block.text)
        elif block.kind == "python":
            compile(block.text, str(page), "exec")
        elif block.kind == "console":
            steps(block)


@pytest.mark.parametrize("page", PAGES, ids=of_a_page)
def test_a_batchd_yaml_that_a_page_shows_is_read_without_a_complaint(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.file and Path(block.file).name == "batchd.yaml":
            path = tmp_path / "batchd.yaml"
            path.write_text(block.text)
            assert load_settings(path, {"HOME": "/home/ann"}).problems == (), f"line {block.line}"
