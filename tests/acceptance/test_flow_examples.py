"""A flow that waits for jobs of a queue, against the real daemon."""

from pathlib import Path

import pytest

from tests.acceptance.harness import installation, running

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

pytestmark = pytest.mark.slow


def test_the_example_of_waiting_for_the_queue_runs(tmp_path: Path) -> None:
    with installation(tmp_path / "it") as here:
        types = here.folder / "jobtypes"
        types.mkdir()
        (types / "checks.py").write_bytes((EXAMPLES / "jobtypes" / "checks.py").read_bytes())
        with running(here):
            done = here.run(
                "python",
                EXAMPLES / "wait_for_queue.py",
                BATCHD_CONFIG=str(here.config),
                PREFECT_API_URL=f"http://127.0.0.1:{here.prefect_port}/api",
                PREFECT_API_AUTH_STRING=(here.state / "prefect-auth").read_text().strip(),
                PREFECT_HOME=str(tmp_path / "home"),
            )
            assert done.returncode == 0, done.stderr
            assert "is Done: 0." in done.stderr + done.stdout, done
            assert "verify" in here.batch("type")
