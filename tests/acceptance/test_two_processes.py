"""`batchd manager` and `batchd dispatcher` as two processes on one state folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.acceptance.harness import BIN, Daemon, Installation, installation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("two-processes")) as here:
        yield here


def test_the_manager_answers_the_dispatcher_runs_and_one_server_serves_both(here: Installation) -> None:
    manager = Daemon(here, "manager")
    dispatcher = None
    try:
        manager.wait_until_it_answers()
        number = here.enqueue("echo", "from one to the other")
        with here.client() as client:
            assert client.job(number).status == "New"
        dispatcher = Daemon(here, "dispatcher")
        dispatcher.wait_until_prefect_answers()
        job = here.ended(number)
        assert (job.status, job.stdout) == ("Done", "from one to the other\n")
        here.states(number, "Completed")
        server = here.prefect_server()
        assert server is not None
        assert dispatcher.stop() < 10
        assert here.prefect_server() == server, "the server is the manager's"
    finally:
        for daemon in (dispatcher, manager):
            if daemon is not None and daemon.process.poll() is None:
                assert daemon.stop() < 10
    here.assert_nothing_left()


def test_a_prefect_worker_of_our_type_is_a_dispatcher_of_its_pools_queue(here: Installation) -> None:
    manager = Daemon(here, "manager")
    worker = None
    try:
        manager.wait_until_it_answers()
        number = here.enqueue("echo", "by a worker")
        here.batch("queue", "other", "-a")
        with here.client() as client:
            elsewhere = client.enqueue("other", "command", {"command": "true"}).id
        worker = PrefectWorker(here, "batchd-default")
        assert here.ended(number).status == "Done"
        here.states(number, "Completed")
        with here.client() as client:
            assert client.job(elsewhere).status == "New", "the other queue is not this worker's"
        assert worker.stop() < 10
    finally:
        for daemon in (worker, manager):
            if daemon is not None and daemon.process.poll() is None:
                daemon.stop()
    here.assert_nothing_left()


def test_a_worker_for_a_pool_of_no_queue_says_which_there_are(here: Installation) -> None:
    done = here.run("prefect", "worker", "start", "--type", "batchd", "--pool", "nosuch", **of_prefect(here))
    assert done.returncode != 0
    assert "batchd-default" in done.stdout + done.stderr


def of_prefect(here: Installation) -> dict[str, str]:
    return {
        "BATCHD_CONFIG": str(here.config),
        "PREFECT_HOME": str(here.folder / "worker-home"),
        "PREFECT_API_URL": f"http://127.0.0.1:{here.prefect_port}/api",
        "PREFECT_API_AUTH_STRING": (here.state / "prefect-auth").read_text().strip(),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


class PrefectWorker(Daemon):
    """`prefect worker start`, stopped as a daemon is."""

    def __init__(self, here: Installation, pool: str) -> None:
        self.here = here
        self._said = (here.folder / "worker").open("a+")
        self.process = subprocess.Popen(
            [BIN / "prefect", "worker", "start", "--type", "batchd", "--pool", pool],
            env=here.environment | of_prefect(here),
            cwd=here.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
