"""A measured figure beside what it is measured against, and the table of them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

PACKAGES = ("batchd", "prefect", "fastapi", "sqlalchemy", "paramiko")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`met` null: there is no target, or nothing to compare with here."""

    what: str
    ours: str
    against: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def at_least(what: str, ours: float, theirs: float, least: float, *, unit: str, name: str) -> Figure:
    """Ours over theirs, the more the better."""
    ratio = ours / theirs
    return Figure(
        what=what,
        ours=f"{ours:.3g} {unit}",
        against=f"{name}: {theirs:.3g} {unit}",
        ratio=f"{ratio:.3g} ×",
        target=f"≥ {least:g} ×",
        met=ratio >= least,
    )


def at_most(what: str, ours: float, theirs: float, most: float, *, unit: str, name: str) -> Figure:
    """Ours over theirs, the less the better."""
    ratio = ours / theirs
    return Figure(
        what=what,
        ours=f"{ours:.3g} {unit}",
        against=f"{name}: {theirs:.3g} {unit}",
        ratio=f"{ratio:.3g} ×",
        target=f"≤ {most:g} ×",
        met=ratio <= most,
    )


def below(what: str, ours: float, most: float, *, unit: str, against: str = "") -> Figure:
    """A bound of its own."""
    return Figure(
        what=what, ours=f"{ours:.3g} {unit}", against=against, target=f"≤ {most:g} {unit}", met=ours <= most
    )


def percentile(values: Sequence[float], part: int) -> float:
    """Of a single value, that value."""
    several = [*values, *values] if len(values) == 1 else values
    return statistics.quantiles(several, n=100, method="inclusive")[part - 1]


def page(figures: Sequence[Figure], command: str, holds: Mapping[str, str] = MappingProxyType({})) -> str:
    """docs/performance.md. `holds`: what holds a figure back, by the beginning of its name."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    rows = "\n".join(
        f"| {one.what} | {one.ours} | {one.against} | {one.ratio} | {one.target} | {_mark(one)} |"
        for one in figures
    )
    return (
        "# Performance\n\n"
        f"<!-- Written by `{command}`; do not edit. -->\n\n"
        "Each figure stands beside something else measured in the same run, because machines differ: the "
        "ratio is what to look at.\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {_memory_gib()} GiB, Linux "
        f"{platform.release()}, Python {platform.python_version()}; {versions}.\n\n"
        "| what | ours | against | ratio | target | met |\n|---|---|---|---|---|---|\n"
        f"{rows}\n\nThe command: `{command}`.\n{_held_back(figures, holds)}"
    )


def _held_back(figures: Sequence[Figure], holds: Mapping[str, str]) -> str:
    """Of the missed targets alone."""
    lines = [
        f"- {one.what}: {text}"
        for one in figures
        for name, text in holds.items()
        if one.met is False and one.what.startswith(name)
    ]
    return "\n## What holds back\n\n" + "\n".join(lines) + "\n" if lines else ""


def _mark(figure: Figure) -> str:
    return {True: "yes", False: "**no**", None: ""}[figure.met]


def _memory_gib() -> int:
    text = Path("/proc/meminfo").read_text().splitlines()[0]
    return round(int(text.split()[1]) / 1024**2)
