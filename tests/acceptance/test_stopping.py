"""Stopping ends all that was started, jobs go on; and a daemon that is started again finds them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Daemon, Installation, installation, running, until

STOP_SECONDS = 10.0
COUNTS = """name: counts
params:
  - {name: file}
template: |
  #!/bin/sh
  echo "start $$"
  until [ -e "$file" ]; do sleep 0.1; done
  echo over
  echo "to stderr" >&2
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("stopping")) as here:
        here.job_type(COUNTS)
        yield here


class Held:
    """A job that runs until it is let go."""

    def __init__(self, here: Installation, file: Path) -> None:
        self.here, self.file = here, file
        self.number = here.enqueue("-t", "counts", "-p", f"file={file}")
        until(60, f"the job's first line; {here.said()}", self.has_begun)

    def has_begun(self) -> bool:
        with self.here.client() as client:
            return any(result.stdout.startswith("start ") for result in client.results(self.number))

    def let_go(self) -> None:
        self.file.touch()

    def commands(self) -> list[int]:
        return [pid for pid, words in self.here.processes().items() if f"/{self.number}.1/" in words]

    def assert_done_with_one_start(self) -> None:
        job = self.here.ended(self.number)
        assert (job.status, job.exit_code, job.try_count) == ("Done", 0, 0)
        with self.here.client() as client:
            results = client.results(self.number)
        lines = [result.stdout for result in results if result.stdout]
        assert [line.split()[0] for line in lines] == ["start", "over"]
        assert [result.stderr for result in results if result.stderr] == ["to stderr"]
        assert [result.exit_code for result in results if result.exit_code is not None] == [0]
        self.here.states(self.number, "Completed")


def lives(pid: int, here: Installation) -> bool:
    return pid in here.processes()


def test_a2_sigterm_stops_all_but_the_job_which_is_found_again(here: Installation, tmp_path: Path) -> None:
    with running(here) as daemon:
        job = Held(here, tmp_path / "go")
        assert here.prefect_server() is not None
        assert daemon.stop(signal.SIGTERM) < STOP_SECONDS
        assert daemon.process.returncode == 0
    assert here.prefect_server() is None
    assert not lives(daemon.process.pid, here)
    assert job.commands(), "the job goes on under its supervisor"
    job.let_go()  # it ends while nobody looks
    here.assert_nothing_left()
    with running(here):
        job.assert_done_with_one_start()


def test_a1_a_killed_daemon_leaves_its_server_and_its_job_to_the_next(
    here: Installation, tmp_path: Path
) -> None:
    with running(here) as daemon:
        job = Held(here, tmp_path / "go")
        server = here.prefect_server()
        assert server is not None
        daemon.stop(signal.SIGKILL)
        assert daemon.process.returncode == -signal.SIGKILL
    assert lives(server, here)
    assert job.commands()
    with running(here) as second:
        assert here.prefect_server() == server, "a healthy server of ours is adopted"
        assert job.commands(), "what runs is not started again"
        job.let_go()
        job.assert_done_with_one_start()

        in_the_way = here.run("batchd", "-c", here.config)
        assert in_the_way.returncode == 2
        assert str(here.state) in in_the_way.stderr
        assert len(in_the_way.stderr.splitlines()) == 1
        assert here.prefect_server() == server, "a second daemon does not touch the first one's server"

        last = Held(here, tmp_path / "go-last")
        assert second.stop(signal.SIGINT, group=True) < STOP_SECONDS
        assert second.process.returncode in (0, 130)
    assert here.prefect_server() is None
    assert last.commands(), "Ctrl-C is for the daemon, not for the jobs"
    last.let_go()
    here.assert_nothing_left()


def test_a_daemon_that_is_stopped_while_prefect_starts_takes_it_along(here: Installation) -> None:
    daemon = Daemon(here)
    daemon.wait_until_it_answers()
    until(60, "the beginning of the server", lambda: here.prefect_server())
    assert daemon.stop() < STOP_SECONDS
    here.assert_nothing_left()


def test_a_daemon_that_is_stopped_while_it_is_imported_takes_its_server_along(here: Installation) -> None:
    daemon = Daemon(here)
    until(60, "the server's process", lambda: (here.state / "prefect" / "server.json").exists())
    assert daemon.stop(signal.SIGTERM) < STOP_SECONDS + 5
    assert daemon.process.returncode == 0, daemon.terminal()
    here.assert_nothing_left()


def test_a_second_daemon_is_refused_and_leaves_the_firsts_server_alone(here: Installation) -> None:
    with running(here):
        server = here.prefect_server()
        refused = here.run("batchd", "-c", here.config)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "runs already with the state folder" in refused.stderr
        assert here.prefect_server() == server
