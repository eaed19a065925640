"""The wheel, built from a copy of the sources, so that two test runs never share a build folder."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("batchd_api", "batchd_cli", "flows", "infra", "migrations", "sample-configs")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def copy_sources(to: Path) -> Path:
    for folder in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / folder, to / folder, ignore=ignored)
    for file in FILES:
        shutil.copy(ROOT / file, to / file)
    return to


def build_wheel(folder: Path) -> tuple[Path, str]:
    """The wheel and what its building said."""
    sources = copy_sources(folder / "sources")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, sources],
        capture_output=True,
        text=True,
    )
    said = built.stdout + built.stderr
    assert built.returncode == 0, said
    (wheel,) = folder.glob("*.whl")
    return wheel, said
