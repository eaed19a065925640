"""What a project has beside its code: one version, a licence, how to take part."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import click
import pytest
import yaml
from click.testing import CliRunner

from batchd_api.admin import main as batchd_admin
from batchd_api.daemon import main as batchd
from batchd_api.facade import described_routes
from batchd_cli.main import cli as batch
from batchd_cli.version import __version__
from tests.packaging import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


@pytest.mark.parametrize("command", [batch, batchd, batchd_admin], ids=["batch", "batchd", "batchd-admin"])
def test_a_command_tells_the_one_version(command: click.Command) -> None:
    said = CliRunner().invoke(command, ["--version"])
    assert said.output.rstrip().endswith(f"version {__version__}")


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "batchd_cli.version.__version__"}
    assert metadata.version("batchd") == __version__
    assert described_routes().openapi()["info"]["version"] == __version__
    folders = [ROOT / name for name in ("batchd_api", "batchd_cli", "flows", "infra", "migrations", "docs")]
    written = [
        path
        for folder in folders
        for path in folder.rglob("*.py")
        if re.search(rf"['\"]{re.escape(__version__)}['\"]", path.read_text())
    ]
    assert [path.name for path in written] == ["version.py"]


def test_the_changelog_tells_of_this_version_or_of_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)[0] == "Unreleased"
    assert f"## [{__version__}]" in text or f"What will be {__version__}" in text


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert PROJECT["project"]["license"] == "BSD-3-Clause"
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("BSD 3-Clause License\n")
    assert "Neither the name of the copyright holder nor the names of its" in " ".join(text.split())


def test_how_to_take_part_names_the_four_targets_and_none_that_is_not_there() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", CONTRIBUTING))
    assert {"run", "test", "lint", "bench"} <= named
    assert named <= TARGETS


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_asks_something(form) -> None:
    asked = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(asked)
    ids = [one["id"] for one in asked["body"]]
    assert len(ids) == len(set(ids)) > 0
    assert all(one["attributes"]["label"] for one in asked["body"])


def test_there_is_a_form_for_what_is_wrong_and_one_for_what_is_missing() -> None:
    assert [form.stem for form in FORMS] == ["bug", "wish"]
