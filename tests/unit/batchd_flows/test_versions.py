import re
from pathlib import Path

import pytest

from batchd_flows import versions
from batchd_flows.versions import BrokenVersions, check_versions, pin

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def pretend(monkeypatch: pytest.MonkeyPatch, **installed: str | None) -> None:
    pair = {"prefect": "3.8.8", "fastapi": "0.150.0"} | installed
    monkeypatch.setattr(versions, "_installed", pair.get)


def test_the_installed_pair_is_accepted() -> None:
    check_versions()


@pytest.mark.parametrize("fastapi", ["0.139", "0.139.0", "0.150.99"])
def test_the_whole_range_is_accepted(fastapi: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, fastapi=fastapi)
    check_versions()


@pytest.mark.parametrize("fastapi", ["0.151.0", "0.151.0rc1", "0.138.9", "1.0", "unreadable"])
def test_a_fastapi_that_breaks_prefect_is_refused_by_naming_the_pin(
    fastapi: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, fastapi=fastapi)
    with pytest.raises(BrokenVersions) as refusal:
        check_versions()
    assert str(refusal.value).count("\n") == 0
    assert "fastapi>=0.139,<0.151" in str(refusal.value)


def test_a_missing_prefect_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, prefect=None)
    with pytest.raises(BrokenVersions, match="prefect is not installed"):
        check_versions()


@pytest.mark.parametrize("package", ["prefect", "fastapi"])
def test_the_ranges_are_those_of_the_project_file(package: str) -> None:
    assert re.search(rf'"{re.escape(pin(package))}"', PYPROJECT.read_text())
