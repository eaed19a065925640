"""What is shipped and what is pinned."""

import re
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from batchd_flows.versions import PINS, pin
from tests.packaging import ROOT, build_wheel

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {
    "batchd_api": "batchd_api",
    "batchd_cli": "batchd_cli",
    "batchd_flows": "flows/batchd_flows",
    "batchd_infra": "infra/batchd_infra",
    "batchd_migrations": "migrations",
    "batchd_sample_configs": "sample-configs",
}


def declared() -> list[Requirement]:
    project = PROJECT["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def needed(requirements: Iterable[Requirement], seen: dict[str, set[str]]) -> None:
    """Fill `seen`: name → its extras, for all that the requirements bring along on this Python."""
    for requirement in requirements:
        name, extras = canonicalize_name(requirement.name), {"", *requirement.extras}
        new = extras - seen.get(name, set())
        seen.setdefault(name, set()).update(new)
        if new:
            needed(_brought_by(name, new), seen)


def _brought_by(name: str, extras: set[str]) -> Iterator[Requirement]:
    try:
        requirements = [Requirement(text) for text in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return  # an extra that could not be built here
    for requirement in requirements:
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras
        ):
            yield requirement


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_every_line_of_the_constraints_is_one_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    assert lines == sorted(lines, key=str.lower)
    assert len(pins()) == len(lines)


def test_every_dependency_is_pinned_inside_its_range() -> None:
    pinned = pins()
    for requirement in declared():
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} excludes the pin {version}"


def test_the_constraints_pin_all_that_comes_along_and_nothing_else() -> None:
    seen: dict[str, set[str]] = {}
    needed(declared(), seen)
    assert seen.keys() - pins().keys() == set(), "not pinned"
    assert pins().keys() - seen.keys() == set(), "pinned, but needed by nothing"


@pytest.mark.parametrize("package", PINS)
def test_the_start_up_check_knows_the_ranges_of_pyproject(package: str) -> None:
    (requirement,) = [requirement for requirement in declared() if requirement.name == package]
    assert requirement.specifier == Requirement(pin(package)).specifier


def test_building_the_wheel_warns_of_nothing(wheel: tuple[Path, str]) -> None:
    # The one about byte-compiling comes from PYTHONDONTWRITEBYTECODE, not from us.
    said = [line for line in wheel[1].splitlines() if re.search(r"warning|deprecat|!!", line, re.IGNORECASE)]
    assert [line for line in said if "byte-compiling is disabled" not in line] == []


def test_the_wheel_holds_every_file_of_our_packages(wheel: tuple[Path, str]) -> None:
    expected = {
        f"{package}/{file.relative_to(ROOT / folder)}"
        for package, folder in PACKAGES.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel[0]) as archive:
        held = set(archive.namelist())
    for shipped in ("batchd_flows/supervisor.sh", "batchd_migrations/script.py.mako", "batchd_api/py.typed"):
        assert shipped in expected
    assert expected - held == set()
    assert {name for name in held - expected if ".dist-info/" not in name} == set()


def test_the_wheel_names_its_licence_and_its_commands(wheel: tuple[Path, str]) -> None:
    with zipfile.ZipFile(wheel[0]) as archive:
        (licence,) = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
        (entries,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert b"BSD 3-Clause" in archive.read(licence)
        commands = archive.read(entries).decode()
    for command in ("batch =", "batchd =", "batchd-admin =", "[prefect.collections]"):
        assert command in commands
