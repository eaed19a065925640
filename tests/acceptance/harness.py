"""The real `batchd` as a process: its own state folder and ports, and proof that it leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from batchd_cli.client import Client, basic
from batchd_cli.errors import BatchError
from batchd_cli.records import Job
from tests.prefect_server import free_port

BIN = Path(sys.executable).parent
MARK = "ACCEPTANCE_MARK"
USER, PASSWORD = "root", "correct horse battery"
START_SECONDS = 300.0  # 10 to 25 s on an idle machine, most of it Prefect's; its CPU time is what counts
END_SECONDS = 120.0
FINAL = ("Done", "Failed")

T = TypeVar("T")


def until(seconds: float, what: str, look: Callable[[], T | None]) -> T:
    """What `look` finds once it finds something; an AssertionError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


class Installation:
    """A configuration with its state folder. Every process that comes of it, jobs too, carries its mark."""

    def __init__(
        self, folder: Path, *, settings: str = "", prefect: str = "", dispatcher: str = "workers: 4"
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port, self.prefect_port = free_port(), free_port()
        self.config = folder / "batchd.yaml"
        self.mark = uuid.uuid4().hex
        self.log = folder / "batchd.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"state_directory: {self.state}\nmanager: {{port: {self.port}}}\n"
            f"prefect: {{port: {self.prefect_port}{', ' if prefect else ''}{prefect}}}\n"
            f"logging: {{target: {self.log}}}\ndispatcher: {{{dispatcher}}}\n{settings}"
        )

    # The programs

    @property
    def environment(self) -> dict[str, str]:
        foreign = ("BATCH", "PREFECT")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        kept.pop("PYTHONPATH", None)
        return kept | {
            "HOME": str(self.folder),
            MARK: self.mark,
            "BATCH_MANAGER_URL": self.url,
            "BATCH_USERNAME": USER,
            "BATCH_PASSWORD": PASSWORD,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(
        self, program: str, *words: str | Path, text: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """One of our commands, to its end."""
        return subprocess.run(
            [BIN / program, *words],
            env=self.environment | variables,
            cwd=self.folder,
            input=text,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )

    def batch(self, *words: str) -> str:
        """What a `batch` command that succeeds prints."""
        done = self.run("batch", *words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def enqueue(self, *words: str) -> int:
        return int(self.batch("enqueue", *words))

    def create_superuser(self) -> None:
        made = self.run(
            "batchd-admin", "-c", self.config, "create-superuser", "--password-stdin", USER, text=PASSWORD
        )
        assert made.returncode == 0, made.stderr

    def job_type(self, text: str) -> None:
        """A file in `jobtypes`, named after its type."""
        name = text.split("name: ", 1)[1].splitlines()[0]
        (self.folder / "jobtypes").mkdir(exist_ok=True)
        (self.folder / "jobtypes" / f"{name}.yaml").write_text(text)

    # What is seen of it

    def client(self) -> Client:
        return Client(self.url, auth=basic(USER, PASSWORD))

    def ended(self, number: int, seconds: float = END_SECONDS) -> Job:
        """The job, once it is Done or Failed."""

        def look() -> Job | None:
            with self.client() as client:
                job = client.job(number)
            return job if job.status in FINAL else None

        return until(seconds, f"the end of job {number}; the log: {self.said()}", look)

    def prefect(self, path: str, body: object = None) -> Any:
        """Ask the Prefect server itself: GET, or POST with a body."""
        user, password = (self.state / "prefect-auth").read_text().strip().split(":", 1)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.prefect_port}/api",
            auth=(user, password),
            timeout=30,
            trust_env=False,
        ) as client:
            answer = client.get(path) if body is None else client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def flow_runs(self, number: int) -> list[dict[str, Any]]:
        """A job's flow runs as Prefect has them, oldest first."""
        wanted = {"flow_runs": {"name": {"like_": f"#{number} "}}, "sort": "START_TIME_ASC"}
        runs = [
            run for run in self.prefect("/flow_runs/filter", wanted) if run["name"].split()[0] == f"#{number}"
        ]
        return sorted(runs, key=lambda run: str(run["created"]))

    def states(self, number: int, *expected: str) -> list[dict[str, Any]]:
        """The job's flow runs once their states are the expected ones."""

        def look() -> list[dict[str, Any]] | None:
            runs = self.flow_runs(number)
            return runs if [run["state_name"] for run in runs] == list(expected) else None

        return until(END_SECONDS, f"flow runs of job {number} that are {expected}", look)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def processes(self) -> dict[int, str]:
        """Whatever lives with our mark: process id → command line."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):
                    if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                        words = (folder / "cmdline").read_bytes().split(b"\0")
                        found[int(folder.name)] = b" ".join(words).decode(errors="replace").strip()
        return found

    def prefect_server(self) -> int | None:
        """The process id of the embedded server, when one lives."""
        servers = [pid for pid, command in self.processes().items() if "prefect server start" in command]
        assert len(servers) < 2, f"two servers: {servers}"
        return servers[0] if servers else None

    def assert_nothing_left(self) -> None:
        with suppress(AssertionError):
            until(END_SECONDS, "the last process to go", lambda: not self.processes())
        left = self.processes()
        assert not left, f"{END_SECONDS:.0f} s after the last stop there still live {left}"

    def end_what_is_left(self) -> None:
        """For a test that failed: only processes with our mark, by their ids."""
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


class Daemon:
    """One start of `batchd`, in a session of its own, as in a terminal."""

    def __init__(self, here: Installation, *words: str) -> None:
        self.here = here
        self._said = (here.folder / "terminal").open("a+")
        self.process = subprocess.Popen(
            [BIN / "batchd", "-c", here.config, *words],
            env=here.environment,
            cwd=here.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def terminal(self) -> str:
        return (self.here.folder / "terminal").read_text()

    def wait_until_it_answers(self) -> None:
        def look() -> bool:
            assert self.process.poll() is None, self.terminal()
            with suppress(BatchError), self.here.client() as client:
                return bool(client.queues())
            return False

        until(START_SECONDS, f"the facade; {self.here.said()}", look)

    def wait_until_prefect_answers(self) -> None:
        """Queues are shown as pools, so jobs start."""

        def look() -> bool:
            assert self.process.poll() is None, self.terminal() + self.here.said()
            with suppress(httpx.HTTPError, OSError, ValueError):
                return bool(self.here.prefect("/work_pools/filter", {}))
            return False

        until(START_SECONDS, f"Prefect; {self.here.said()}", look)

    def ready(self) -> Daemon:
        self.wait_until_it_answers()
        self.wait_until_prefect_answers()
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM, *, group: bool = False) -> float:
        """Signal it, wait for its end; how many seconds that took."""
        began = time.monotonic()
        (os.killpg if group else os.kill)(self.process.pid, number)
        self.process.wait(END_SECONDS)
        self._said.close()
        return time.monotonic() - began


@contextmanager
def installation(folder: Path, *, settings: str = "", prefect: str = "") -> Iterator[Installation]:
    """With its superuser; afterwards nothing of it may live any more."""
    here = Installation(folder, settings=settings, prefect=prefect)
    here.create_superuser()
    try:
        yield here
        here.assert_nothing_left()
    finally:
        here.end_what_is_left()


@contextmanager
def running(here: Installation, *words: str) -> Iterator[Daemon]:
    """A daemon that is ready, and is stopped afterwards if it still runs."""
    daemon = Daemon(here, *words)
    try:
        yield daemon.ready()
    finally:
        if daemon.process.poll() is None:
            daemon.stop()
