"""Jobs run, followed, waited for and cancelled from the command line, on the real daemon."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import BIN, Installation, installation, running

STEPS = """name: steps
params:
  - {name: gate}
template: |
  #!/bin/sh
  echo first
  echo oh >&2
  until [ -e "$gate" ]; do sleep 0.1; done
  printf 'last, without a newline'
  exit 4
"""
SECONDS = 120


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("follow")) as here:
        here.job_type(STEPS)
        with running(here):
            yield here


def _start(here: Installation, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["env", "--default-signal=INT", BIN / "batch", *words],
        env=here.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_run_prints_as_it_comes_and_ends_as_the_job_ends(here: Installation, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = _start(here, "run", "-t", "steps", str(gate))
    assert process.stdout
    assert process.stdout.readline() == "first\n"
    gate.touch()
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (4, "last, without a newline")
    assert "\noh\n" in err


def test_logs_f_may_come_late_and_show_only_the_last_lines(here: Installation, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    number = here.enqueue("-t", "steps", str(gate))
    first = _start(here, "logs", "-f", str(number))
    assert first.stdout
    assert first.stdout.readline() == "first\n"
    late = _start(here, "logs", "-f", "-n", "0", "--json", str(number))
    assert late.stdout
    gate.touch()
    out, err = late.communicate(timeout=SECONDS)
    texts = [event["text"] for event in map(json.loads, out.splitlines()) if event["event"] == "output"]
    assert "first\n" not in texts
    first.communicate(timeout=SECONDS)
    assert (first.returncode, late.returncode) == (4, 4), err
    assert here.run("batch", "logs", str(number), "--stream", "stdout").stdout.endswith("without a newline")
    assert here.run("batch", "logs", str(number)).stderr == "oh\n"
    assert here.run("batch", "wait", str(number)).returncode == 4


def test_ctrl_c_leaves_the_job_and_cancel_ends_it(here: Installation, tmp_path: Path) -> None:
    process = _start(here, "run", "-t", "steps", str(tmp_path / "never"))
    assert process.stdout
    assert process.stderr
    number = process.stderr.readline().split()[1]
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert json.loads(here.batch("job", number, "--json"))["status"] == "Processing"
    here.batch("cancel", number)
    assert here.run("batch", "wait", number, "--timeout", str(SECONDS)).returncode not in (0, 124)
    assert "cancelled" in here.batch("why", number)


def test_a_jobs_page_is_in_the_prefect_ui(here: Installation) -> None:
    done = here.run("batch", "run", "true")
    assert done.returncode == 0, done.stderr
    url = here.batch("open", "last", "--print").strip()
    assert url.startswith(f"http://127.0.0.1:{here.prefect_port}/")
    assert json.loads(here.batch("job", "last", "--json"))["flow_run_id"] in url
