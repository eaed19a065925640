"""A PostgreSQL that cannot be reached while jobs run and end: nothing of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from batchd_api.db.session import Database
from batchd_flows.local_machine import LocalMachine
from batchd_flows.supervisor import RunState
from tests.dispatching import Daemon, until
from tests.postgres import Postgres
from tests.prefect_server import PrefectServer
from tests.records import Records
from tests.reliability.invariants import Evidence, assert_invariants
from tests.tcp_proxy import Pass, Refuse, TcpProxy, tcp_proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AWAY_SECONDS = 5


class Seen(Records):
    """The same rows, by another way than the daemon's."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database, self.folder = Database(url), folder


@pytest.fixture
def url(postgres: Postgres) -> str:
    return str(postgres.new_database())


@pytest.fixture
def network(url: str) -> Iterator[TcpProxy]:
    port = make_url(url).port
    assert port is not None
    with tcp_proxy(port) as network:
        yield network


@pytest.fixture
def seen(url: str, tmp_path: Path) -> Iterator[Seen]:
    seen = Seen(url, tmp_path)
    yield seen
    seen.database.close()


@pytest.fixture
async def daemon(
    prefect_server: PrefectServer, network: TcpProxy, seen: Seen, url: str, tmp_path: Path
) -> AsyncIterator[Daemon]:
    behind = make_url(url).set(port=network.port).render_as_string(hide_password=False)
    daemon = Daemon(prefect_server, tmp_path, workers=4, types=[], database_url=behind)
    await daemon.start()
    try:
        yield daemon
        evidence = Evidence(
            records=seen,
            api_url=prefect_server.api_url,
            auth_string=prefect_server.auth_string,
            accepted=daemon.enqueued,
            place=tmp_path,
        )
        await asyncio.to_thread(assert_invariants, evidence)
    finally:
        network.mode = Pass()
        await daemon.close()


def until_told(daemon: Daemon, word: str) -> str:
    return f"while [ ! -e {daemon.folder / word} ]; do sleep 0.05; done; echo told"


@contextmanager
def away(network: TcpProxy) -> Iterator[None]:
    network.mode = Refuse()
    try:
        yield
    finally:
        network.mode = Pass()


def run_state(daemon: Daemon, job_id: int) -> RunState:
    return LocalMachine().status(daemon.folder / "attempts" / f"{job_id}.1").state


@pytest.mark.parametrize("restarted", [False, True], ids=["alone", "with-its-dispatcher"])
async def test_a_database_that_is_away_while_a_job_ends_has_its_end_and_output_when_it_is_back(
    daemon: Daemon, seen: Seen, network: TcpProxy, restarted: bool
) -> None:
    ends, fails, outlives = (
        daemon.witness(between=f"{until_told(daemon, word)}; exit {code}")
        for word, code in (("end", 0), ("end", 5), ("go", 0))
    )
    await until(lambda: len(seen.starts()) == 3, "all three run")
    for job_id in (ends, fails, outlives):
        await until(lambda job_id=job_id: seen.job(job_id).status == "Processing", "the rows say so")
    with away(network):
        (daemon.folder / "end").touch()
        for job_id in (ends, fails):
            await until(lambda job_id=job_id: run_state(daemon, job_id) is RunState.ENDED, "its end")
        if restarted:
            await daemon.stop()
        await asyncio.sleep(AWAY_SECONDS)
        assert seen.statuses([ends, fails, outlives]) == dict.fromkeys([ends, fails, outlives], "Processing")
        assert run_state(daemon, outlives) is RunState.RUNNING
    if restarted:
        await daemon.start()
    await until(lambda: seen.job(ends).status == "Done", "its end is recorded")
    await until(lambda: seen.job(fails).status == "Failed", "the other one's too")
    assert seen.attempts(fails)[0].exit_code == 5
    (daemon.folder / "go").touch()
    await until(lambda: seen.job(outlives).status == "Done", "the last end")
    assert sorted(seen.starts()) == [ends, fails, outlives]
    for job_id in (ends, fails, outlives):
        assert seen.output(job_id) == b"told\n"
        assert [attempt.number for attempt in seen.attempts(job_id)] == [1]
