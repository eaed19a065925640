"""Which Prefect and FastAPI belong together; cheap to ask, because nothing of either is imported."""

import re
from importlib import metadata

from batchd_flows.errors import FlowsError

# The same ranges as in pyproject.toml; a test holds them together.
PINS = {"prefect": ("3.8.8", "3.9"), "fastapi": ("0.139", "0.151")}


class BrokenVersions(FlowsError):
    """The installed Prefect and FastAPI do not work with each other."""


def pin(package: str) -> str:
    low, high = PINS[package]
    return f"{package}>={low},<{high}"


def pins_advice() -> str:
    pins = " ".join(f"'{pin(package)}'" for package in PINS)
    return f"install {pins} (or use the constraints.txt of this release)"


def check_versions() -> None:
    """Refuse a pair that is known to break: FastAPI from 0.151 answers 422 to what Prefect's client sends."""
    for package, (low, high) in PINS.items():
        version = _installed(package)
        if version is None:
            raise BrokenVersions(f"{package} is not installed: {pins_advice()}.")
        if not _numbers(low) <= _numbers(version) < _numbers(high):
            raise BrokenVersions(f"{package} {version} does not work with this release: {pins_advice()}.")


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version; `0.151.0rc1` counts as 0.151.0, so a pre-release is refused too."""
    release = re.match(r"\d+(\.\d+)*", version)
    if release is None:
        return ()
    numbers = [int(part) for part in release[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
