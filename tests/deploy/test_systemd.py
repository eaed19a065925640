"""The systemd units: what systemd itself says of them, and that jobs outlive a restart."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging import ROOT
from tests.waiting import need_programs

pytestmark = pytest.mark.slow
UNITS = ROOT / "sample-configs" / "deploy" / "systemd"
NAMES = sorted(path.name for path in UNITS.glob("*.service"))
RUN_JOBS = ("batchd.service", "batchd-dispatcher.service")
PROGRAMS = "/opt/batchd/bin"
# What `systemd-analyze security` gave them on systemd 252: jobs inherit what their unit forbids.
MOST_EXPOSED = {
    "batchd.service": 5.0,
    "batchd-dispatcher.service": 5.0,
    "batchd-manager.service": 1.5,
    "batchd-prefect.service": 1.5,
}


def values(unit: str, key: str) -> list[str]:
    lines = (UNITS / unit).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be where our programs are those of this environment."""
    for name in NAMES:
        text = (UNITS / name).read_text().replace(PROGRAMS, str(Path(sys.executable).parent))
        (tmp_path / name).write_text(text)
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    need_programs("systemd-analyze")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_nothing_to_say_of_a_unit(name: str, installed: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", installed / name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_does_speak_up_where_something_is_wrong(installed: Path) -> None:
    unit = installed / "batchd.service"
    unit.write_text(unit.read_text().replace("KillMode=process", "KillMode=proces"))
    assert "kill mode" in analyze("verify", "--man=no", "--recursive-errors=no", unit).stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_no_more_exposed_than_it_was(name: str, installed: Path) -> None:
    said = analyze("security", "--offline=true", installed / name).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) <= MOST_EXPOSED[name]


@pytest.mark.parametrize("name", RUN_JOBS)
def test_jobs_survive_a_restart_of_what_runs_them(name: str) -> None:
    assert values(name, "KillMode") == ["process"]
    # systemd removes a private /tmp when the unit stops, and stops a unit of which one process got too large.
    assert values(name, "PrivateTmp") == []
    assert values(name, "OOMPolicy") == ["continue"]


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_starts_a_command_of_ours_that_exists(name: str) -> None:
    (command,) = values(name, "ExecStart")
    program, *words = command.removeprefix(f"{PROGRAMS}/").split()
    path = Path(sys.executable).parent / program
    named = [word for word in words if not word.startswith(("-", "/")) and not word[0].isdigit()]
    shown = subprocess.run([path, *named, "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout


@pytest.mark.parametrize("name", [name for name in NAMES if name != "batchd-prefect.service"])
def test_a_daemon_that_cannot_start_is_not_started_again(name: str) -> None:
    assert values(name, "Restart") == ["on-failure"]
    assert values(name, "RestartPreventExitStatus") == ["2"]
