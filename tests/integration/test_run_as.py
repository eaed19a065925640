"""Jobs of another user through the whole dispatcher. FAULTS.md: G10."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from batchd_api.db.tables import attempts
from batchd_flows.job_types import COMMAND
from tests.dispatching import ROOT, Daemon, until
from tests.prefect_server import PrefectServer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

OTHER = "nobody"
TYPES = (
    replace(COMMAND, name="theirs", run_as=OTHER, kill_after_seconds=1),
    replace(COMMAND, name="gone", run_as="no-such-user"),
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@pytest.fixture
async def daemon(prefect_server: PrefectServer, tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(prefect_server, tmp_path, workers=2, types=TYPES)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.close()


@needs_root
async def test_a_type_or_a_queue_says_as_whom_and_the_type_counts_first(daemon: Daemon) -> None:
    daemon.queue("theirs", run_as=OTHER)
    daemon.queue("nobodys", run_as="no-such-user")
    who = 'echo "$(id -un) $HOME $USER $LOGNAME"'
    ours = daemon.enqueue(who)
    by_type = daemon.enqueue(who, type="theirs")
    by_queue = daemon.enqueue(who, "theirs")
    by_both = daemon.enqueue(who, "nobodys", type="theirs")
    await daemon.all_are("Done", [ours, by_type, by_queue, by_both])
    other = pwd.getpwnam(OTHER)
    theirs = f"{OTHER} {other.pw_dir} {OTHER} {OTHER}\n".encode()
    assert [daemon.output(job) for job in (by_type, by_queue, by_both)] == [theirs] * 3
    assert daemon.output(ours).decode().split()[0] == pwd.getpwuid(os.geteuid()).pw_name


@needs_root
async def test_g10_a_job_reads_neither_our_database_nor_prefects_nor_their_keys(
    daemon: Daemon, prefect_server: PrefectServer
) -> None:
    kept = [daemon.folder / "batchd.db", daemon.folder / "batchd.yaml", *prefect_server.home.rglob("*.db")]
    kept += [path for path in prefect_server.home.iterdir() if path.is_file()]
    assert [path for path in kept if path.name == "prefect.db"]
    job = daemon.enqueue(f"LC_ALL=C cat {' '.join(map(str, kept))}", type="theirs")
    await daemon.status(job, "Failed")
    said = daemon.output(job).decode().splitlines()
    assert len(said) == len(kept)
    assert all("Permission denied" in line for line in said)


@needs_root
async def test_h7_a_cancelled_one_ends_with_its_tree_and_leaves_nothing(daemon: Daemon) -> None:
    job = daemon.enqueue("trap '' TERM; sleep 4712 & echo on; wait; wait", type="theirs")
    await until(lambda: b"on" in daemon.output(job), "it runs")
    aside = Path((daemon.folder / "attempts" / f"{job}.1" / "aside").read_text().strip())
    daemon.jobs.cancel(ROOT, job)
    await daemon.status(job, "Failed")
    await until(lambda: not aside.exists(), "what lay aside is gone")
    assert not list((daemon.folder / "attempts").iterdir())


async def test_a_user_that_this_machine_does_not_have_fails_the_job_with_a_sentence(daemon: Daemon) -> None:
    job = daemon.enqueue("echo never", type="gone")
    await daemon.status(job, "Failed")
    row = daemon.rows(select(attempts).where(attempts.c.job_id == job))[0]
    assert row.reason == 'run_as: this machine has no user "no-such-user"'


async def test_where_the_dispatcher_is_not_root_the_sentence_says_what_to_do(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    job = daemon.enqueue("echo never", type="theirs")
    await daemon.status(job, "Failed")
    row = daemon.rows(select(attempts).where(attempts.c.job_id == job))[0]
    assert "start it as root, or take run_as away" in row.reason
