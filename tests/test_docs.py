"""What the documents say is so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from batchd_api.changes import CHANGES
from batchd_api.respond import TABLE, Phase, Sight

ROOT = Path(__file__).parents[1]
STATES = (ROOT / "docs" / "states.md").read_text()
README = (ROOT / "README.md").read_text()


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]


def test_the_table_of_what_people_do_in_prefect_is_the_codes():
    header, _, *rows = rows_of(STATES[STATES.index("| seen |") :].split("\n\n")[0])
    assert header[1:] == [phase.value for phase in Phase]
    written = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
    assert written == {
        sight.value: {phase.value: TABLE[phase][sight].value for phase in Phase} for sight in Sight
    }


def test_the_chart_has_every_state_of_a_job():
    from_code = {"New", "Waiting", "Processing", "Done", "Failed", "Postponed"}
    chart = STATES.split("```")[1]
    assert set(re.findall(r"\b[A-Z][a-z]+\b(?=(?: -->|:))", chart)) == from_code


def test_the_readme_begins_with_what_it_is_a_picture_and_two_commands():
    title, first = README.split("\n\n")[:2]
    assert title.startswith("# ")
    assert len(re.findall(r"\.(?:\s|$)", first)) <= 3
    assert README.index("![") < README.index("make demo") < README.index("make test")


def test_every_make_target_that_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link: str):
    assert (ROOT / link).exists()


@pytest.mark.parametrize(
    "maker", ["make_rest_reference", "make_configuration_reference", "make_daemon_reference"]
)
def test_a_reference_is_what_its_maker_writes(maker: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = importlib.util.spec_from_file_location(maker, ROOT / "docs" / f"{maker}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[maker] = module
    spec.loader.exec_module(module)
    assert module.main(["--check"]) == 0, f"run python docs/{maker}.py"


def test_the_page_for_who_comes_from_the_original_names_every_difference():
    page = (ROOT / "docs" / "how-to" / "from-the-original.md").read_text()
    header = page[page.index("| | now") :].split("\n\n")[0]
    told = [tuple(row) for row in rows_of(header)[2:]]
    assert told == [(change.key, change.now, change.was, change.old_way) for change in CHANGES]


def test_the_python_reference_is_the_codes():
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_python_reference.py", "--check"], timeout=60)
    assert done.returncode == 0, "run python docs/make_python_reference.py"
