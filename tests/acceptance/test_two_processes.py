"""`batchd manager` and `batchd dispatcher` as two processes on one state folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.harness import Daemon, Installation, installation


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
