"""A queue tied to a work pool of another type: a stock worker in another environment runs its jobs."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchd_cli
import batchd_flows
import batchd_infra
from tests.acceptance.harness import Daemon, Installation, installation, running, until

pytestmark = pytest.mark.slow

SECONDS = 180
POOL = "elsewhere"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "here") as here:
        yield here


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Of another virtual environment: Prefect and our packages for flows are found there by folder."""
    folder = tmp_path / "worker-venv"
    venv.create(folder, symlinks=True)
    ours = {
        str(Path(package.__file__ or "").parents[1]) for package in (batchd_flows, batchd_infra, batchd_cli)
    }
    site = next(folder.glob("lib/python*/site-packages"))
    site_folders = {path for path in sys.path if path.endswith("site-packages")}
    (site / "others.pth").write_text("\n".join(sorted(ours | site_folders | {sysconfig.get_path("purelib")})))
    return folder / "bin" / "python"


def of_prefect(here: Installation) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(here.folder / "worker-home"),
        "PREFECT_API_URL": f"http://127.0.0.1:{here.prefect_port}/api",
        "PREFECT_API_AUTH_STRING": (here.state / "prefect-auth").read_text().strip(),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
    }


class StockWorker(Daemon):
    """`prefect worker start --type process`."""

    def __init__(self, here: Installation, python: Path) -> None:
        self.here = here
        self._said = (here.folder / "worker").open("a+")
        self.process = subprocess.Popen(
            [python, "-m", "prefect", "worker", "start", "--type", "process", "--pool", POOL],
            env=here.environment | of_prefect(here) | {"WHERE": POOL, "VIRTUAL_ENV": str(python.parents[1])},
            cwd=here.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def said(self) -> str:
        return (self.here.folder / "worker").read_text()


def pool_runs(here: Installation) -> list[str]:
    """The states of the runs in that pool."""
    wanted = {"work_pools": {"name": {"any_": [POOL]}}, "sort": "START_TIME_ASC"}
    return [str(run["state_name"]) for run in here.prefect("/flow_runs/filter", wanted)]


def test_a_stock_process_worker_runs_the_jobs_of_a_queue_that_is_tied_to_its_pool(
    here: Installation, python: Path
) -> None:
    with running(here):
        made = here.run("prefect", "work-pool", "create", POOL, "--type", "process", **of_prefect(here))
        assert made.returncode == 0, made.stderr
        here.batch("queue", "cluster", "-a", "--work-pool", POOL)
        assert POOL in here.batch("queue", "cluster")
        script = "echo from $WHERE; echo trouble >&2; exit 3"
        with here.client() as client:
            failing = client.enqueue("cluster", "command", {"command": f"sh -c '{script}'"}).id
            good = client.enqueue("cluster", "command", {"command": "echo good"}).id
            long = client.enqueue("cluster", "command", {"command": "sh -c 'echo begun; sleep 600'"}).id
        at_home = here.enqueue("echo", "at home")
        assert here.ended(at_home).status == "Done"
        assert "Pending" not in pool_runs(here), "nobody serves the pool yet"
        worker = StockWorker(here, python)
        try:
            job = here.ended(failing, SECONDS)
            assert (job.status, job.exit_code, job.stdout, job.stderr) == (
                "Failed",
                3,
                f"from {POOL}\n",
                "trouble\n",
            ), worker.said()
            assert here.ended(good, SECONDS).stdout == "good\n"

            def begun() -> bool:
                with here.client() as client:
                    return client.job(long).stdout == "begun\n"

            until(SECONDS, f"the long one to begin; {worker.said()}", begun)
            with here.client() as client:
                client.cancel_job(long)
            ended = here.ended(long, SECONDS)
            assert ended.status == "Failed"
            assert "cancelled by" in str(ended.reason)
            until(
                SECONDS,
                "its tree to be gone",
                lambda: not [c for c in here.processes().values() if "sleep 600" in c],
            )
            until(
                SECONDS,
                f"the end of the runs in the pool: {pool_runs(here)}",
                lambda: set(pool_runs(here)) <= {"Completed", "Failed", "Cancelled", "Crashed"},
            )
            assert pool_runs(here).count("Completed") == 1
        finally:
            worker.stop()
        here.states(good, "Completed")
        here.states(failing, "Failed")
        here.states(long, "Cancelled")
