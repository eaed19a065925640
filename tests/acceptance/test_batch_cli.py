"""`batch` against a real `batchd manager`, both as processes. Without Prefect, so no job runs here."""

import json
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
    assert "Nächte   Monday, Friday  22:00:00 06:00:00  " in do("schedule")
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
        (["enqueue", "-t", "nosuch", "-p", "x=1"], 5),
        (["enqueue", "-h", "nosuch", "true"], 5),
        (["queue", "new", "-a", "-s", "nosuch"], 5),
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


def test_a_schedule_is_changed_and_says_when_it_opens_next(do: Do) -> None:
    do("schedule", "-a", "late", "-p", "22:00:00 06:00:00", "-w", "Monday")
    do("schedule", "late", "-w", "any")
    lines = do("schedule", "late", "-c", "3").splitlines()
    assert lines[1].startswith("late  any       22:00:00 06:00:00")
    assert lines[2] == "Next openings of late:"
    assert len(lines) == 3 + 3
    (shown,) = json.loads(do("schedule", "late", "--json"))
    assert (shown["weekdays"], len(shown["openings"])) == (None, 5)


def test_a_dry_run_says_what_would_run_and_leaves_nothing(do: Do) -> None:
    before = do("stats", "--json")
    shown = json.loads(do("enqueue", "--dry-run", "--json", "echo", "hello"))
    assert "echo" in shown["command"]
    assert shown["earliest_start"]
    shown = do("enqueue", "--dry-run", "echo", "hello")
    assert shown.startswith("Host: ")
    assert "  echo hello\n" in shown
    assert do("stats", "--json") == before


def test_a_job_says_why_it_waits_and_is_held_released_cancelled_and_retried(do: Do, batch: Batch) -> None:
    do("queue", "verbs", "-a", "-D")
    number = do("enqueue", "-q", "verbs", "true").strip()
    (why,) = json.loads(do("why", number, "--json"))
    assert why["status"] == "New"
    assert why["reason"]["code"]
    assert why["reason"]["text"] in do("ls", "verbs")
    do("hold", number)
    assert "postponed" in do("why", number)
    do("release", number)
    do("cancel", number)
    (cancelled,) = json.loads(do("why", number, "--json"))
    assert cancelled["status"] == "Failed"
    assert "root" in cancelled["reason"]["text"]
    waited = batch("wait", number)
    assert (waited.returncode, waited.stdout) == (1, "")
    assert batch("cancel", number).returncode == 1
    do("retry", number)
    assert json.loads(do("job", number, "--json"))["status"] == "New"
    assert batch("wait", number, "--timeout", "0.1").returncode == 124


def test_several_jobs_are_changed_at_once(do: Do, batch: Batch) -> None:
    do("queue", "many", "-a", "-D")
    numbers = [do("enqueue", "-q", "many", "true").strip() for _ in range(7)]
    span = f"{numbers[0]}-{numbers[-1]}"
    assert [job["id"] for job in json.loads(do("hold", span, "--dry-run", "--json"))] == [*map(int, numbers)]
    assert batch("hold", span).returncode == 3
    do("hold", span, "--yes")
    do("release", numbers[0], numbers[1])
    do("cancel", "last", "--queue", "many")
    left = json.loads(do("ls", "many", "-s", "postponed", "--json"))
    assert [job["id"] for job in left] == [int(number) for number in numbers[2:-1]]
    do("job", "--queue", "many", "-d", "--yes")
    assert do("ls", "many", "-a", "--json") == "[]\n"


def test_mistyped_names_are_asked_about(batch: Batch) -> None:
    assert "did you mean default?" in batch("ls", "defualt").stderr
    assert "did you mean command?" in batch("enqueue", "-t", "comand", "-p", "x=1").stderr
    assert "did you mean anytime" in batch("queue", "new", "-a", "-s", "anytme").stderr


def test_a_login_is_kept(batch: Batch, manager: dict[str, str]) -> None:
    kept = Path(manager["HOME"]) / ".config/batchd/credentials"
    done = subprocess.run(
        [BIN / "batch", "login", "--password-stdin", "--file"],
        env={**manager, "BATCH_PASSWORD": ""},
        input=PASSWORD + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    try:
        assert batch("host", BATCH_PASSWORD="").returncode == 0
        assert batch("logout").returncode == 0
    finally:
        kept.unlink(missing_ok=True)


def test_queues_and_jobs_are_watched(do: Do) -> None:
    shown = json.loads(do("top", "--once", "--json"))
    assert "default" in [queue["name"] for queue in shown["queues"]]
    assert do("top").startswith("ON  QUEUE")


def test_logs_of_a_job_that_waits_are_followed_until_it_is_cancelled(do: Do, manager: dict[str, str]) -> None:
    do("queue", "followed", "-a", "-D")
    number = do("enqueue", "-q", "followed", "true").strip()
    process = subprocess.Popen(
        [BIN / "batch", "logs", "-f", number, "--json"],
        env=manager,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert json.loads(process.stdout.readline())["status"] == "New"
        do("cancel", number)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    end = json.loads(out.splitlines()[-1])
    assert (end["event"], end["status"]) == ("end", "Failed")
