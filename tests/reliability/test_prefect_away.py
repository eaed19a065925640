"""Prefect that refuses, loses answers or runs things itself while jobs run. FAULTS.md: A6 A9 A10 A13 A18."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchd_flows.server_settings import client_environment
from tests.dispatching import Daemon, Person, person, until
from tests.prefect_server import PrefectServer
from tests.reliability.invariants import Evidence, assert_invariants
from tests.tcp_proxy import Pass, Refuse, ResetAfterRequest, TcpProxy, tcp_proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def network(prefect_server: PrefectServer) -> Iterator[TcpProxy]:
    with tcp_proxy(prefect_server.server.port) as network:
        yield network


@pytest.fixture
async def daemon(prefect_server: PrefectServer, network: TcpProxy, tmp_path: Path) -> AsyncIterator[Daemon]:
    """Behind a network; every invariant is asked for afterwards."""
    behind = replace(prefect_server, api_url=f"http://127.0.0.1:{network.port}/api")
    daemon = Daemon(behind, tmp_path, workers=4, types=[])
    await daemon.start()
    try:
        yield daemon
        network.mode = Pass()
        evidence = Evidence(
            records=daemon,
            api_url=prefect_server.api_url,
            auth_string=prefect_server.auth_string,
            accepted=daemon.enqueued,
            place=tmp_path,
        )
        await asyncio.to_thread(assert_invariants, evidence)
    finally:
        await daemon.close()


def until_told(daemon: Daemon) -> str:
    return f"while [ ! -e {daemon.folder / 'go'} ]; do sleep 0.05; done"


async def test_a6_a_command_whose_shell_was_killed_ended_by_that_signal(daemon: Daemon) -> None:
    job_id = daemon.witness(between=until_told(daemon))
    await until(lambda: daemon.starts(job_id), "its start")
    shell = (daemon.folder / "attempts" / f"{job_id}.1" / "job").read_text().split()[0]
    os.kill(int(shell), signal.SIGKILL)
    row = await daemon.status(job_id, "Failed")
    assert "signal 9 (SIGKILL)" in row.reason_text
    assert [attempt.exit_code for attempt in daemon.attempts(job_id)] == [-signal.SIGKILL]


async def test_a9_a10_jobs_that_go_on_or_end_while_prefect_refuses_are_done_with_one_start(
    daemon: Daemon, network: TcpProxy, prefect_server: PrefectServer
) -> None:
    goes_on = daemon.witness(between=until_told(daemon))
    ends = daemon.witness(between=f"while [ ! -e {daemon.folder / 'end'} ]; do sleep 0.05; done")
    await daemon.shown(goes_on, "RUNNING")
    await daemon.shown(ends, "RUNNING")
    network.mode = Refuse()
    (daemon.folder / "end").touch()
    await daemon.status(ends, "Done")
    await until(lambda: daemon.prefect_is_down, "the end of every retry")
    network.mode = Pass()
    await daemon.shown(ends, "COMPLETED")
    assert daemon.job(goes_on).status == "Processing"
    (daemon.folder / "go").touch()
    await daemon.status(goes_on, "Done")
    await daemon.shown(goes_on, "COMPLETED")
    async with person(prefect_server) as client:
        await Person(client).sees(daemon.runs(ends)[0].id, "Completed")
    assert sorted(daemon.starts()) == [goes_on, ends]


async def test_a13_a_run_whose_answer_was_lost_three_times_is_one_run(
    daemon: Daemon, network: TcpProxy, prefect_server: PrefectServer
) -> None:
    await daemon.status(daemon.witness(), "Done")  # queue and type are known
    network.mode = ResetAfterRequest(b"/create_flow_run", times=3)
    job_id = daemon.witness()
    await daemon.status(job_id, "Done")
    await daemon.shown(job_id, "COMPLETED")
    assert network.cuts == 3
    async with person(prefect_server) as client:
        runs = [run for run in await Person(client).runs() if run.name.startswith(f"#{job_id} ")]
    ours = {run.id for run in daemon.runs(job_id)}
    assert ours <= {str(run.id) for run in runs}
    key = next(run.idempotency_key for run in runs if str(run.id) in ours)
    assert key is not None
    assert len([run for run in runs if (run.idempotency_key or "").startswith(key.rpartition(":")[0])]) == 1


async def test_a18_prefects_own_engine_started_by_hand_during_the_job_runs_nothing(
    daemon: Daemon, prefect_server: PrefectServer
) -> None:
    job_id = daemon.witness(between=until_told(daemon))
    await daemon.shown(job_id, "RUNNING")
    (run,) = daemon.runs(job_id)
    execute = [sys.executable, "-m", "prefect", "flow-run", "execute", run.id]
    engine = await asyncio.create_subprocess_exec(
        *execute,
        env=client_environment(prefect_server.server.settings),
        cwd=prefect_server.home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await engine.communicate()
    assert daemon.job(job_id).status == "Processing", said
    assert daemon.starts() == [job_id]
    async with person(prefect_server) as client:
        await Person(client).sees(run.id, "Running")  # again, or still
        (daemon.folder / "go").touch()
        row = await daemon.status(job_id, "Done")
        await Person(client).sees(daemon.runs(job_id)[-1].id, "Completed")
    assert (row.attempt, row.try_count) == (1, 0)
    assert daemon.starts() == [job_id]
