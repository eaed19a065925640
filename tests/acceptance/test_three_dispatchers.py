"""Three dispatchers on three machines, one PostgreSQL, one Prefect server with a login, one manager.

Each dispatcher is a process in a network namespace of its own. The planner is cut off from everything, the
next one is killed, both come back: 40 jobs run once each, and no limit is passed meanwhile.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, func, select

from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, jobs, leases
from tests.acceptance.harness import BIN, MARK, Daemon, Installation, until
from tests.net_namespace import NetNamespace, net_namespace
from tests.postgres import Postgres
from tests.prefect_server import PrefectServer, running_prefect_server
from tests.records import Records, witness_script
from tests.sshd import Sshd, running_sshd

pytestmark = pytest.mark.slow

SECONDS = 120
TAKEN_OVER_SECONDS = 15
WORKERS = 3
LIMITS = {"wide": 6, "narrow": 2}
ON_HOST = 2
SAMPLE_SECONDS = 0.1


class Shared(Records):
    """What all of them share: a database, a Prefect server, a host; and the file in which jobs say it."""

    def __init__(self, folder: Path, postgres: Postgres, prefect: PrefectServer, host: Sshd) -> None:
        self.folder = folder
        self.url = postgres.new_database()
        self.prefect = prefect
        self.host = host
        self.database = Database(self.url)
        port = int(prefect.api_url.split(":")[2].split("/")[0])
        self.ports = (int(self.url.split(":")[-1].split("/")[0]), port, host.port)

    def installation(self, name: str, dispatcher: str = f"workers: {WORKERS}") -> Installation:
        """One machine's configuration, with a state folder of its own."""
        connection = f"driver: PostgreSql\nconnection_string: {self.url}\n"
        here = Installation(
            self.folder / name,
            settings=connection,
            prefect=f"api_url: {self.prefect.api_url}, auth_string: '{self.prefect.auth_string}'",
            dispatcher=dispatcher,
        )
        here.prefect_port = self.ports[1]
        here.state.mkdir(mode=0o700)
        (here.state / "prefect-auth").write_text(self.prefect.auth_string)
        (here.state / "prefect-auth").chmod(0o600)
        (here.state / "known_hosts").write_text(self.host.known_hosts.read_text())
        (here.folder / "hosts").mkdir()
        (here.folder / "hosts" / "shared.yaml").write_text(
            f"host_name: 127.0.0.1\nport: {self.host.port}\nprivate_key: {self.host.key}\n"
            f"max_jobs: {ON_HOST}\nstartup_time: 0\n"
        )
        return here

    def count(self, *where: ColumnElement[bool]) -> int:
        """Living attempts."""
        return int(self.rows(select(func.count()).select_from(attempts).where(IS_ALIVE, *where))[0][0])

    def planner(self) -> str:
        return next((str(row.holder) for row in self.rows(select(leases))), "")

    def ended(self) -> int:
        return int(self.rows(select(func.count()).where(jobs.c.status.in_(("Done", "Failed"))))[0][0])


class Machine:
    """A dispatcher that can be cut off, killed, and started again with its state folder."""

    def __init__(self, here: Installation, namespace: NetNamespace) -> None:
        self.here = here
        self.namespace = namespace
        self.daemon = InNamespace(here, namespace)
        self.name = ""

    def start_again(self) -> None:
        self.daemon = InNamespace(self.here, self.namespace)


class InNamespace(Daemon):
    def __init__(self, here: Installation, namespace: NetNamespace) -> None:
        self.here = here
        self._said = (here.folder / "terminal").open("a+")
        self.process = subprocess.Popen(
            [*namespace.enter, BIN / "batchd", "-c", here.config, "dispatcher"],
            env=here.environment | {MARK: here.mark},
            cwd=here.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Sampled(threading.Thread):
    """The most living attempts at once that the database ever showed, by what holds them."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self.most: dict[tuple[str, str], int] = {}
        self._database = database
        self._over = threading.Event()

    def run(self) -> None:
        columns = {"queue": attempts.c.queue_name, "host": attempts.c.host_name, "by": attempts.c.dispatcher}
        while not self._over.wait(SAMPLE_SECONDS):
            with self._database.read() as connection:
                for what, column in columns.items():
                    query = select(column, func.count()).where(IS_ALIVE).group_by(column)
                    for name, count in connection.execute(query):
                        self.most[what, str(name)] = max(count, self.most.get((what, str(name)), 0))

    def stop(self) -> dict[tuple[str, str], int]:
        self._over.set()
        self.join()
        return self.most


@pytest.fixture
def shared(tmp_path: Path, postgres: Postgres) -> Iterator[Shared]:
    with running_prefect_server() as prefect, running_sshd(tmp_path / "sshd") as host:
        shared = Shared(tmp_path, postgres, prefect, host)
        yield shared
        shared.database.close()


@pytest.fixture
def manager(shared: Shared) -> Iterator[Daemon]:
    here = shared.installation("manager")
    here.create_superuser()
    daemon = Daemon(here, "manager")
    try:
        daemon.wait_until_it_answers()
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.stop()
        here.end_what_is_left()


@pytest.fixture
def machines(shared: Shared, manager: Daemon) -> Iterator[dict[str, Machine]]:
    """By the names under which the database knows them. The third serves one queue only."""
    found: dict[str, Machine] = {}
    with ExitStack() as stack:
        for number, said in enumerate(("", "", ", queues: [narrow]"), 1):
            here = shared.installation(f"machine{number}", f"workers: {WORKERS}{said}")
            stack.callback(here.end_what_is_left)
            machine = Machine(here, stack.enter_context(net_namespace(*shared.ports)))
            machine.name = until(
                SECONDS, f"machine {number} to be alive; {here.said()}", lambda: new_name(shared, found)
            )
            found[machine.name] = machine
        try:
            yield found
        finally:
            for machine in found.values():
                machine.namespace.mend()
                if machine.daemon.process.poll() is None:
                    machine.daemon.stop()


def new_name(shared: Shared, known: dict[str, Machine]) -> str | None:
    names = {row.name for row in shared.rows(select(dispatchers))} - set(known)
    return names.pop() if names else None


def enqueue_40(shared: Shared, manager: Daemon) -> list[int]:
    """Every fourth takes longer than it takes to notice an outage; eight run on the shared host."""
    ids = []
    with manager.here.client() as client:
        for name, most in LIMITS.items():
            client.create_queue(name, max_jobs=most)
        for number in range(40):
            script = witness_script(shared.witness_file, "sleep 15" if number % 8 in (0, 3) else "sleep 1")
            command = {"command": f"sh -c {shlex.quote(script)}"}
            queue = "narrow" if number % 2 == 0 else "wide"
            host = {"host_name": "shared"} if number % 5 == 1 else {}
            ids.append(client.enqueue(queue, "command", command, **host).id)
    return ids


def runs_something(shared: Shared, name: str) -> bool:
    return (
        shared.count(
            attempts.c.dispatcher == name, attempts.c.state == "running", attempts.c.host_name.is_(None)
        )
        > 0
    )


def taken_over(shared: Shared, dead: str, since: float) -> tuple[str, float]:
    """The next planner, and how long nobody planned."""
    name = until(
        SECONDS, "another planner", lambda: None if shared.planner() in ("", dead) else shared.planner()
    )
    return name, time.monotonic() - since


def test_three_dispatchers_run_40_jobs_once_each_though_one_is_cut_off_and_one_is_killed(
    shared: Shared, manager: Daemon, machines: dict[str, Machine]
) -> None:
    sampled = Sampled(shared.database)
    sampled.start()
    ids = enqueue_40(shared, manager)
    until(SECONDS, "some to be done", lambda: shared.ended() >= 4)

    first = shared.planner()
    until(SECONDS, "the planner to run something itself", lambda: runs_something(shared, first))
    machines[first].namespace.cut()
    second, seconds = taken_over(shared, first, time.monotonic())
    assert seconds <= TAKEN_OVER_SECONDS
    print(f"taken over from who was cut off within {seconds:.1f} s")

    done = shared.ended()
    until(SECONDS, "jobs to go on", lambda: shared.ended() >= min(done + 2, 36))
    until(SECONDS, "the planner to run something itself", lambda: runs_something(shared, second))
    machines[second].daemon.process.kill()
    killed_at = time.monotonic()
    machines[second].daemon.process.wait()
    third, seconds = taken_over(shared, second, killed_at)
    assert seconds <= TAKEN_OVER_SECONDS
    assert third not in (first, second)
    print(f"taken over from who was killed within {seconds:.1f} s")

    machines[first].namespace.mend()
    machines[second].start_again()
    until(SECONDS, f"all to be done; {shared.statuses(ids)}", lambda: shared.ended() == len(ids))
    most = sampled.stop()

    assert set(shared.statuses(ids).values()) == {"Done"}
    assert sorted(shared.starts()) == sorted(ids)
    assert [what for what, _, _ in shared.testimony()].count("end") == len(ids)
    assert shared.rows(select(func.count()).select_from(attempts))[0][0] == len(ids)
    by_queue = {name: shared.rows(select(jobs.c.id).where(jobs.c.queue_name == name)) for name in LIMITS}
    for name, limit in LIMITS.items():
        assert shared.most_at_once(*(row.id for row in by_queue[name])) <= limit
        assert most["queue", name] <= limit
    assert most["host", "shared"] <= ON_HOST
    assert {name for what, name in most if what == "by"} == set(machines), "each had a part in it"
    assert all(count <= WORKERS for (what, _), count in most.items() if what == "by")
    narrow = next(name for name, machine in machines.items() if machine.here.folder.name == "machine3")
    of_third = shared.rows(select(attempts.c.queue_name).where(attempts.c.dispatcher == narrow).distinct())
    assert [row.queue_name for row in of_third] == ["narrow"]
