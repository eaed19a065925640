"""Every command that the pages show is run as it stands, and answers what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.blocks import blocks, steps
from tests.documents.setups import SETUPS, Setup
from tests.documents.shell import Shell, shell, stand_in
from tests.packaging import ROOT
from tests.waiting import need_root

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DOCS = ROOT / "docs"
PAGES = sorted(
    str(page.relative_to(DOCS))
    for page in DOCS.rglob("*.md")
    if any(block.kind == "console" for block in blocks(page))
)


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_do_what_it_shows(name: str, tmp_path: Path) -> None:
    setup = SETUPS.get(name, Setup())
    if setup.as_root:
        need_root()
    home, programs = tmp_path / "home", tmp_path / "programs"
    home.mkdir()
    programs.mkdir()
    for program, text in setup.programs.items():
        stand_in(programs, program, text)
    with shell(home, programs, {}) as here:
        for command in setup.before:
            code, said = here.run(command)
            assert code == 0, f"{command}: {said}"
        follow(here, DOCS / name, home, setup)


def follow(here: Shell, page: Path, home: Path, setup: Setup) -> None:
    for block in blocks(page):
        if block.file:
            path = home / replaced(block.file, setup).removeprefix("~/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(replaced(block.text, setup))
        elif block.kind == "console":
            for step in steps(block):
                step.command = replaced(step.command, setup)
                here.take(step)


def replaced(text: str, setup: Setup) -> str:
    for shown, meant in setup.replaced.items():
        text = text.replace(shown, meant)
    return text
