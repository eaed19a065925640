"""Real daemons whose Prefect server is the module's, behind a network that can be broken.

`batchd` takes seconds to import Prefect. So each daemon here is forked from a process that has done so, which
also lets a test wound the child at a chosen step; everything from `main` on is the program's own.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from batchd_api.db.session import Database
from batchd_api.db.tables import dispatchers, queues
from batchd_api.db.upgrade import upgrade
from batchd_api.services.installation import ensure_first_rows
from batchd_api.services.users import Users
from batchd_api.startup import dispatcher_name
from batchd_cli.errors import BatchError
from tests.acceptance import harness
from tests.acceptance.harness import PASSWORD, USER, Installation, until
from tests.ground import quick_passwords
from tests.prefect_server import PrefectServer
from tests.records import Records, witness_script
from tests.reliability.fail_points import FailPoint
from tests.reliability.invariants import Evidence, assert_invariants
from tests.tcp_proxy import Pass, TcpProxy, tcp_proxy

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["batchd_api.app", "pytest"])

# The type `command`, with other ends: tried once more, and a short grace before the KILL.
AGAIN = (
    "name: again\ntemplate: $command\nparams:\n  - name: command\non_fail: {retry: {when: now, count: 1}}\n"
)
BRIEF = "name: brief\ntemplate: $command\nparams:\n  - name: command\nkill_after: 1 s\n"


class Place(Records, Installation):
    """An installation whose rows are read directly."""

    def attempt_folder(self, number: int, attempt: int = 1) -> Path:
        return self.state / "attempts" / f"{number}.{attempt}"

    def supervisor(self, number: int, attempt: int = 1) -> int:
        return int((self.attempt_folder(number, attempt) / "pid").read_text().split()[0])


class Grounds(Place):
    """One with a witness, a superuser and the job types of faults. `database_url` None: its own SQLite."""

    def __init__(self, folder: Path, *, database_url: str | None = None, **configuration: str) -> None:
        if database_url is not None:
            shared = f"driver: PostgreSql\nconnection_string: {database_url}\n"
            configuration["settings"] = shared + configuration.get("settings", "")
        Installation.__init__(self, folder, **configuration)
        self.job_type(AGAIN)
        self.job_type(BRIEF)
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.database_url = database_url
        self.database = Database(database_url or f"sqlite:///{self.state / 'batchd.db'}")
        upgrade(self.database)
        with self.database.write() as connection:
            ensure_first_rows(connection, datetime.now(UTC))
        Users(self.database, quick_passwords(), lambda: datetime.now(UTC)).create(
            USER, PASSWORD, superuser=True
        )
        self.accepted: list[int] = []

    # What people ask for

    def ask(self, script: str, queue: str = "default", type_name: str = "command", **order: Any) -> int:
        """An enqueue over HTTP; the manager must run."""
        with self.client() as client:
            number = client.enqueue(queue, type_name, {"command": f"sh -c {shlex.quote(script)}"}, **order).id
        self.accepted.append(number)
        return number

    def witness(
        self, *, between: str = "", queue: str = "default", type_name: str = "command", **order: Any
    ) -> int:
        return self.ask(witness_script(self.witness_file, between), queue, type_name, **order)

    def queue(self, name: str, **fields: Any) -> None:
        row = {"name": name, "title": name, "enabled": True, "schedule_name": "anytime"} | fields
        with self.database.write() as connection:
            connection.execute(insert(queues).values(row))

    def until_told(self, name: str = "go") -> str:
        """What a job says to run until `tell`."""
        return f"while [ ! -e {self.folder / name} ]; do sleep 0.05; done"

    def tell(self, name: str = "go") -> None:
        (self.folder / name).touch()

    # What is waited for

    def status(self, number: int, *statuses: str, seconds: float = 60) -> Any:
        def look() -> Any:
            job = self.job(number)
            return job if job.status in statuses else None

        return until(seconds, f"job {number} to be {statuses}, not {self.job(number).status}", look)

    def begun(self, number: int, times: int = 1) -> None:
        until(60, f"start {times} of job {number}", lambda: len(self.starts(number)) >= times)

    def assert_invariants(self, alive: Collection[int] = (), seconds: float = 60) -> None:
        evidence = Evidence(
            records=self,
            api_url=f"http://127.0.0.1:{self.prefect_port}/api",
            auth_string=(self.state / "prefect-auth").read_text().strip(),
            accepted=self.accepted,
            place=self.folder,
            alive=alive,
        )
        assert_invariants(evidence, seconds)


class Site(Grounds):
    """One whose Prefect is the module's; `network` is between it and its daemons."""

    def __init__(
        self,
        folder: Path,
        server: PrefectServer,
        network: TcpProxy,
        *,
        settings: str = "",
        database_url: str | None = None,
    ) -> None:
        super().__init__(
            folder,
            database_url=database_url,
            settings=settings,
            prefect=f"api_url: 'http://127.0.0.1:{network.port}/api', auth_string: '{server.auth_string}'",
            dispatcher="workers: 4, poll_timeout: 1",
        )
        self.server, self.network = server, network
        self.prefect_port = server.server.port
        (self.state / "prefect-auth").write_text(server.auth_string)
        self.daemons: list[Forked] = []

    def assert_all_is_well(self) -> None:
        """Every invariant; only the daemons may live."""
        self.assert_invariants({daemon.pid for daemon in self.daemons if daemon.process.poll() is None})

    # The processes

    def start(self, *words: str, fail: Sequence[FailPoint] = ()) -> Forked:
        """A daemon, at once; `ready` waits for it."""
        self.daemons.append(Forked(self, *words, fail=fail))
        return self.daemons[-1]

    def close(self) -> None:
        """Nothing of it goes on."""
        for daemon in self.daemons:
            daemon.kill()
            daemon.here.end_what_is_left()
        self.end_what_is_left()
        self.database.close()


class Machine(Place):
    """Another machine's dispatcher of the site: a state folder, a log and a network of its own."""

    def __init__(self, site: Site, name: str, network: TcpProxy, dispatcher: str = "workers: 4") -> None:
        assert site.database_url is not None, "machines share a PostgreSQL"
        login = f"auth_string: '{site.server.auth_string}'"
        super().__init__(
            site.folder / name,
            settings=f"driver: PostgreSql\nconnection_string: {site.database_url}\n",
            prefect=f"api_url: 'http://127.0.0.1:{network.port}/api', {login}",
            dispatcher=f"{dispatcher}, poll_timeout: 1",
        )
        self.site, self.network, self.database = site, network, site.database
        self.job_type(AGAIN)

    @property
    def name(self) -> str:
        """Under which the database knows it."""
        return dispatcher_name(self.state)

    def forget(self, other: Machine, *words: str) -> subprocess.CompletedProcess[str]:
        """Give another machine's dispatcher up, by the command."""
        return self.run(
            "batchd-admin", "-c", self.config, "forget-dispatcher", other.name, *(words or ("--yes",))
        )

    def start(self, *, fail: Sequence[FailPoint] = ()) -> Forked:
        """Its dispatcher, once it is alive."""
        daemon = Forked(self, "dispatcher", fail=fail)
        self.site.daemons.append(daemon)
        daemon.wait_until_it_beats()
        return daemon


class _Child:
    """What of `subprocess.Popen` a daemon is asked for."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid: int = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"process {self.pid} lives"
        return self._process.exitcode


class Forked(harness.Daemon):
    """`batchd`, from its imports on."""

    here: Place

    def __init__(self, here: Place, *words: str, fail: Sequence[FailPoint] = ()) -> None:
        self.here = here
        self._said = (here.folder / "terminal").open("a+")
        mode = ["--mode", *words] if words else []
        arguments = [*mode, "--config", str(here.config)]
        process = _processes.Process(
            target=_become_the_daemon,
            args=(arguments, here.environment, str(here.folder), tuple(fail)),
            daemon=True,
        )
        process.start()
        self.process = _Child(process)  # type: ignore[assignment]

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and it is gone."""
        with suppress(ProcessLookupError):
            if self.process.poll() is None:
                self.send(signal.SIGKILL)
        self.process.wait(10)
        self._said.close()

    def struck(self, seconds: float = 60) -> None:
        """Its fail point has ended it."""
        assert self.process.wait(seconds) == -signal.SIGKILL, self.terminal() + self.here.said()
        self._said.close()

    def wait_until_it_beats(self) -> None:
        """Its dispatcher is alive, and Prefect answers it or not."""

        def look() -> bool:
            assert self.process.poll() is None, self.terminal() + self.here.said()
            began = datetime.fromtimestamp(Path(f"/proc/{self.pid}").stat().st_ctime, UTC)
            mine = select(dispatchers).where(dispatchers.c.name == dispatcher_name(self.here.state))
            return any(row.seen_at > began for row in self.here.rows(mine))

        until(60, f"the first beat of {self.pid}", look)

    def wait_until_it_answers(self) -> None:
        def look() -> bool:
            assert self.process.poll() is None, self.terminal() + self.here.said()
            with suppress(BatchError), self.here.client() as client:
                return bool(client.queues())
            return False

        until(60, f"the facade; {self.here.said()}", look)


def _become_the_daemon(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, fail: Sequence[FailPoint]
) -> None:
    os.setsid()
    os.chdir(folder)
    with open("terminal", "a") as terminal, open(os.devnull) as nothing:  # noqa: PTH123
        for source, number in ((nothing, 0), (terminal, 1), (terminal, 2)):
            os.dup2(source.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    from batchd_api import app  # in the test's own process nobody needs it

    for point in fail:
        point.arm()
    sys.argv = ["batchd", *arguments]
    app.main()


@contextmanager
def site(
    folder: Path, server: PrefectServer, *, settings: str = "", database_url: str | None = None
) -> Iterator[Site]:
    """Afterwards the network is whole, every invariant is asked for, and nothing is left running."""
    with tcp_proxy(server.server.port) as network:
        here = Site(folder, server, network, settings=settings, database_url=database_url)
        try:
            yield here
            network.mode = Pass()
            here.assert_all_is_well()
        finally:
            here.close()
