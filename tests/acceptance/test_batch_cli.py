"""`batch` against a real `batchd manager`, both as processes. Without Prefect, so no job runs here."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PASSWORD = "correct horse battery"
START_SECONDS = 60

Batch = Callable[..., subprocess.CompletedProcess[str]]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BATCH", "PREFECT"))}
    return kept | {"HOME": str(home), "TZ": "Europe/Berlin"}


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A manager with the superuser root; the environment in which `batch` reaches it as root."""
    folder = tmp_path_factory.mktemp("manager")
    environment, port = _environment(folder), _free_port()
    config = folder / "batchd.yaml"
    config.write_text(
        f"daemon: Manager\nstate_directory: {folder}/state\nmanager: {{port: {port}}}\n"
        f"logging: {{target: stderr}}\nprefect: {{api_url: 'http://127.0.0.1:{_free_port()}/api'}}\n"
    )
    for words, text in ((["upgrade-db"], ""), (["create-superuser", "--password-stdin"], PASSWORD)):
        subprocess.run(
            [BIN / "batchd-admin", "-c", config, *words], env=environment, input=text, text=True, check=True
        )
    with (folder / "log").open("w+") as log:
        daemon = subprocess.Popen([BIN / "batchd", "manager", "-c", config], env=environment, stderr=log)
        try:
            until = time.monotonic() + START_SECONDS
            while not _answers(port):
                assert daemon.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
            yield environment | {
                "BATCH_MANAGER_URL": f"http://127.0.0.1:{port}/",
                "BATCH_USERNAME": "root",
                "BATCH_PASSWORD": PASSWORD,
            }
        finally:
            daemon.terminate()
            daemon.wait(20)


@pytest.fixture(scope="module")
def batch(manager: dict[str, str]) -> Batch:
    def call(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "batch", *words],
            env=manager | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


@pytest.fixture(scope="module")
def do(batch: Batch) -> Callable[..., str]:
    """A command line that must succeed and say nothing on stderr: its stdout."""

    def call(*words: str) -> str:
        done = batch(*words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return call


Do = Callable[..., str]


def test_a_first_enqueue_works_and_prints_only_the_id(do: Do) -> None:
    number = do("enqueue", "echo", "hello", "world")
    assert number.strip().isdecimal()
    shown = do("job", number.strip())
    assert "Queue:   default\n" in shown
    assert "  command: echo\n  args:    hello world\n" in shown


def test_a_queue_and_a_schedule_from_their_making_to_their_end(do: Do, batch: Batch) -> None:
    do("schedule", "-a", "Nächte", "-p", "22:00:00 06:00:00", "-w", "Monday", "-w", "friday")
    assert "Nächte   Monday, Friday  22:00:00 06:00:00\n" in do("schedule")
    do("queue", "очередь один", "-a", "-s", "Nächte", "-n", "Title", "-D", "--autostart", "3")
    assert "Autostart: 3\n" in do("queue", "очередь один")
    do("queue", "очередь один", "-e", "--autostart", "no")
    shown = do("queue", "очередь один")
    assert "Enabled:  yes\n" in shown
    assert "Autostart" not in shown
    assert "очередь один" in do("ls")
    assert batch("queue", "очередь один", "-a").returncode == 1
    assert batch("schedule", "-d", "Nächte").returncode == 3
    do("enqueue", "-q", "очередь один", "true")
    refused = batch("queue", "очередь один", "-d")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "-f deletes it" in refused.stderr
    do("queue", "очередь один", "-d", "-f")
    do("schedule", "-d", "Nächte")
    assert batch("queue", "очередь один").returncode == 5


def test_a_job_is_changed_by_every_option_and_deleted(do: Do, batch: Batch) -> None:
    do("queue", "changes", "-a")
    first, second, third = (do("enqueue", "-q", "changes", "true").strip() for _ in range(3))

    def order() -> list[str]:
        return [line.split()[0] for line in do("ls", "changes", "-a").splitlines()[1:]]

    do("job", third, "-p", "first")
    assert order() == [third, first, second]
    do("job", third, "-p", "d")
    assert order() == [first, third, second]
    do("job", first, "-s", "postponed", "-n", "a remark", "--at", "24.01.2036 22:00")
    shown = do("job", first)
    for line in ("Status:     Postponed", "Notes:      a remark", "Not before: 2036-01-24 22:00:00"):
        assert line in shown
    do("job", first, "--at", "any", "-n", "")
    assert "Not before" not in do("job", first)
    do("job", first, "-m", "default")
    assert "Queue:   default" in do("job", first)
    do("job", second, "-d")
    assert order() == [third]
    assert batch("job", second).returncode == 5


def test_stats_types_and_hosts_are_shown(do: Do) -> None:
    assert do("stats").startswith("QUEUE ")
    assert "command" in do("type")
    assert "$command $args" in do("type", "command")
    assert do("host") == ""


def test_a_job_that_never_ran_has_no_result(do: Do, batch: Batch) -> None:
    number = do("enqueue", "true").strip()
    assert batch("job", number, "-r").returncode == 5


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "nosuch"], 5),
        (["enqueue", "-q", "nosuch", "true"], 5),
        (["enqueue", "-t", "nosuch", "-p", "x=1"], 1),
        (["enqueue", "-h", "nosuch", "true"], 1),
        (["queue", "new", "-a", "-s", "nosuch"], 1),
        (["job", "999999"], 5),
        (["ls", "-s", "lost", "default"], 2),
        (["-P", "wrong", "ls"], 4),
        (["-M", "http://127.0.0.1:9", "ls"], 69),
    ],
)
def test_a_refusal_is_a_sentence_on_stderr_and_a_code(words: list[str], code: int, batch: Batch) -> None:
    done = batch(*words)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.count("Error: ") == 1
    assert "Traceback" not in done.stderr
