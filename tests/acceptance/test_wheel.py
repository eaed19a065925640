"""The built wheel in an empty environment: what someone gets who has no checkout."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging import ROOT, build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # it installs everything anew: a minute or two

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A command of the installed wheel, run outside the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    wheel, _ = build_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    installed = subprocess.run(
        [folder / "venv/bin/pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel],
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr

    def run(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [folder / "venv/bin" / name, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.mark.parametrize(
    ("name", "says"),
    [("batch", "enqueue"), ("batchd", "doctor"), ("batchd-admin", "upgrade-db")],
)
def test_a_command_shows_its_help(name: str, says: str, program: Program) -> None:
    shown = program(name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert says in shown.stdout


def test_the_database_is_made_by_the_migrations_of_the_wheel(program: Program, tmp_path: Path) -> None:
    config = tmp_path / "batchd.yaml"
    config.write_text(f"state_directory: {tmp_path}/state\n")
    for _ in range(2):
        done = program("batchd-admin", "--config", config, "upgrade-db")
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "state/batchd.db").is_file()


def test_the_supervisor_and_the_samples_are_found_in_the_wheel(program: Program) -> None:
    look = (
        "from importlib.resources import files\n"
        "print(files('batchd_flows').joinpath('supervisor.sh').is_file(),"
        " files('batchd_sample_configs').joinpath('jobtypes/command.yaml').is_file(),"
        " files('batchd_flows'))"
    )
    found = program("python", "-c", look)
    assert found.stdout.startswith("True True "), found.stderr
    assert "site-packages" in found.stdout
