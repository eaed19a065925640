"""Ours and the stock one, as processes: each with its own folder, ports and end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.harness import Daemon, Installation, installation
from tests.prefect_server import free_port

BIN = Path(sys.executable).parent
LIMIT_SECONDS = 600.0
TRIVIAL = """
import subprocess
import sys
import time
from prefect import flow

@flow
def run_true(where: str = "", seconds: int = 0):
    if where:
        with open(where, "a") as file:
            file.write(f"{time.time()}\\n")
    subprocess.run(["true"], check=True)
    time.sleep(seconds)
"""
DEPLOY = """
import sys
from prefect import flow
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.orchestration import get_client

with get_client(sync_client=True) as client:
    client.create_work_pool(WorkPoolCreate(name="bench", type="process"))
flow.from_source(source=sys.argv[1], entrypoint="trivial.py:run_true").deploy(
    name="bench", work_pool_name="bench", print_next_steps=False
)
"""


def until(what: str, look: Callable[[], Any], seconds: float = LIMIT_SECONDS, pause: float = 0.02) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(pause)
    return found


@dataclass
class Ours:
    here: Installation
    daemon: Daemon

    def create_queue(self, name: str, **fields: object) -> None:
        with self.here.client() as client:
            client.create_queue(name, **fields)

    def restart(self) -> float:
        """Stop it and start it again: the seconds from the start until it is ready."""
        self.daemon.stop()
        began = time.perf_counter()
        self.daemon = Daemon(self.here)
        self.daemon.ready()
        return time.perf_counter() - began

    def count(self, queue: str, status: str) -> int:
        with self.here.client() as client:
            return client.queue_stats(queue).get(status, 0)

    def pids(self) -> dict[int, str]:
        return self.here.processes()

    def spans(self, which: str) -> list[tuple[float, float]]:
        """When these attempts started and ended, as the supervisors saw it."""
        query = f"select started_at, ended_at from attempts where {which} order by started_at"
        with closing(sqlite3.connect(self.here.state / "batchd.db", timeout=60)) as database:
            rows = database.execute(query).fetchall()
        zoned = [[datetime.fromisoformat(text).replace(tzinfo=UTC) for text in row] for row in rows]
        return [(started.timestamp(), ended.timestamp()) for started, ended in zoned]


@contextmanager
def ours(folder: Path, *, workers: int = 4) -> Iterator[Ours]:
    with installation(folder, settings="") as here:
        text = here.config.read_text()
        here.config.write_text(text.replace("{workers: 4}", f"{{workers: {workers}}}"))
        place = Ours(here, Daemon(here).ready())
        try:
            yield place
        finally:
            if place.daemon.process.poll() is None:
                place.daemon.stop()


class Stock:
    """A Prefect server as it comes and a process worker, with one trivial deployment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT")}
        self.environment = kept | {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "ui"),
            "DO_NOT_TRACK": "1",
        }
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.programs: list[subprocess.Popen[bytes]] = []
        self.deployment = ""

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [BIN / "prefect", *words],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.programs.append(program)
        return program

    def start_server(self) -> None:
        self.start("server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        until("the stock server", self.answers)

    def answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.client.get("/health").text == "true"
        return False

    def deploy(self) -> None:
        (self.folder / "trivial.py").write_text(TRIVIAL)
        subprocess.run(
            [sys.executable, "-c", DEPLOY, str(self.folder)],
            env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        answer = self.client.get("/deployments/name/run-true/bench")
        answer.raise_for_status()
        self.deployment = answer.json()["id"]

    def start_worker(self) -> None:
        former = self.workers()  # those that have ended stay in the list
        self.start("worker", "start", "--pool", "bench", "--type", "process")
        until("the stock worker", lambda: self.workers() - former)

    def workers(self) -> set[str]:
        """Each start has a name of its own."""
        answer = self.client.post("/work_pools/bench/workers/filter", json={})
        return {worker["name"] for worker in answer.raise_for_status().json()}

    def restart(self) -> float:
        """Stop both and start them again: the seconds from the start until the worker is there."""
        for program in self.programs:
            program.terminate()
            program.wait()
        self.programs.clear()
        began = time.perf_counter()
        self.start_server()
        self.start_worker()
        return time.perf_counter() - began

    def set_pool(self, **fields: object) -> None:
        self.ask("PATCH", "/work_pools/bench", fields)

    def create_run(self, **parameters: str | int) -> str:
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        path = f"/deployments/{self.deployment}/create_flow_run"
        return str(self.ask("POST", path, body).json()["id"])

    def completed(self) -> int:
        wanted = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        return int(self.ask("POST", "/flow_runs/count", wanted).json())

    def ask(self, method: str, path: str, body: object) -> httpx.Response:
        """A stock server on SQLite answers 503 now and then; its own client asks again too."""

        def look() -> httpx.Response | None:
            answer = self.client.request(method, path, json=body)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        found: httpx.Response = until(f"{method} {path}", look, pause=0.1)
        return found.raise_for_status()

    def pids(self) -> set[int]:
        """Its programs and all that came of them."""
        found = {program.pid for program in self.programs if program.poll() is None}
        parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdecimal()}
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            found |= more
            grown = bool(more)
        return found

    def close(self) -> None:
        for program in reversed(self.programs):
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        self.client.close()


def _parent(path: Path) -> int:
    with suppress(OSError):
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


@contextmanager
def stock(folder: Path, *, worker: bool = True) -> Iterator[Stock]:
    folder.mkdir(parents=True)
    place = Stock(folder)
    try:
        place.start_server()
        if worker:
            place.deploy()
            place.start_worker()
        yield place
    finally:
        place.close()


def pss_mib(pids: set[int]) -> float:
    """Proportional set size: what is shared counts once over all processes that share it."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def cpu_seconds(pids: set[int]) -> float:
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
