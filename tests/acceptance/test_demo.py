"""`make demo`: what it prints, that it works again, and that it fails when a job does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from demo.daemon import JOB_TYPES
from tests.acceptance.demo_runs import ROW, left, run

pytestmark = pytest.mark.timeout(300)


def test_the_demo_runs_three_jobs_and_does_so_again(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    for first_job in (1, 4):
        done = run(home, "make", "--no-print-directory", "demo")
        assert done.returncode == 0, done.stdout + done.stderr
        rows = [match.groups() for match in map(ROW.search, done.stdout.splitlines()) if match]
        assert rows == [
            (str(first_job), "command:", "Done", "0", "0", "Completed"),
            (str(first_job + 1), "countdown:", "Done", "0", "0", "Completed"),
            (str(first_job + 2), "second-try:", "Done", "0", "1", "Failed, Completed"),
        ]
        said = done.stdout
        assert f"  #{first_job} | A JOB GOES THROUGH A PIPE" in said
        assert f"  #{first_job + 1} ! this line goes to stderr" in said
        for line in ("5", "4", "3", "2", "1"):
            assert f"  #{first_job + 1} | {line}\n" in said
        assert "The facade:" in said
        assert "The Prefect UI:" in said
        assert str(home / "state" / "prefect-auth") in said
        assert left(home) == []


@pytest.mark.slow
def test_the_demo_fails_when_a_job_does_not_end_as_it_should(tmp_path: Path) -> None:
    types = tmp_path / "jobtypes"
    types.mkdir()
    for file in JOB_TYPES.iterdir():
        text = file.read_text()
        if file.stem == "second-try":
            text = text.replace('"this time it worked"', '"again not"; exit 1')
        (types / file.name).write_text(text)
    home = tmp_path / "demo"
    program = f"""
import pathlib, sys, demo.daemon
demo.daemon.JOB_TYPES = pathlib.Path({str(types)!r})
from demo.run import main
sys.argv[1:] = []
sys.exit(main())
"""
    done = run(home, sys.executable, "-c", program)
    assert done.returncode == 1, done.stdout
    assert done.stderr == "demo: did not end as it should: #3 (second-try: fails once)\n"
    assert left(home) == []
