"""Jobs under a clock that jumps, files of types that change, and what a job may see.

FAULTS.md: E5 E8 F12 G9 G12 H2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from batchd_api.db.tables import flow_runs, output, schedules
from batchd_api.dispatching import tidy_up
from batchd_api.errors import StartOutsideSchedule
from batchd_api.schemas import Priority
from batchd_api.times import parse_time
from batchd_flows.job_types import COMMAND, JobType, JobTypes, Parameter
from tests.dispatching import Daemon, person, until
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

SAY = JobType(name="say", template=('printf "%s" "$text"',), params=(Parameter(name="text"),))
SECRET = "a-password-of-ours"


class Clock:
    """Goes on by itself, and jumps."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def jump(self, by: timedelta) -> None:
        self._ahead += by

    def set(self, moment: datetime) -> None:
        self._ahead = moment - datetime.now(UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", SECRET)
    monkeypatch.setenv("OUR_DATABASE", f"postgresql://batchd:{SECRET}@db/batchd")
    monkeypatch.setenv("DB_PASSWORD", SECRET)


@pytest.fixture
async def daemon(prefect_server: PrefectServer, tmp_path: Path, clock: Clock) -> AsyncIterator[Daemon]:
    daemon = Daemon(prefect_server, tmp_path, workers=2, types=[SAY], clock=clock, timezone="Europe/Berlin")
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.close()


def waits_for(daemon: Daemon, name: str) -> str:
    return f"while [ ! -e {daemon.folder / name} ]; do sleep 0.05; done"


# --- the clock ---


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=3)], ids=["back", "forward"])
async def test_e5_a_clock_that_jumps_starts_nothing_twice_and_takes_nothing_that_lives(
    daemon: Daemon, clock: Clock, jump: timedelta
) -> None:
    running = daemon.witness(between=f"echo said; {waits_for(daemon, 'go')}")
    await until(lambda: daemon.output(running) == b"said\n", "it runs")
    daemon.queue("shut", enabled=False)
    waiting = daemon.witness("shut")
    clock.jump(jump)
    daemon.wake()
    tidy_up(daemon.parts, clock())
    meanwhile = daemon.witness()
    await daemon.status(meanwhile, "Done")
    (daemon.folder / "go").touch()
    await daemon.status(running, "Done")
    daemon.set_queue("shut", enabled=True)
    await daemon.status(waiting, "Done")
    assert sorted(daemon.starts()) == sorted([running, waiting, meanwhile])
    assert daemon.output(running) == b"said\n"
    for job_id in (running, waiting, meanwhile):
        (attempt,) = daemon.attempts(job_id)
        assert attempt.ended_at >= attempt.started_at
    tidy_up(daemon.parts, clock())  # what has just ended stays for its days
    assert daemon.job(running).status == "Done"


async def test_e8_a_start_time_is_judged_and_kept_in_the_zone_of_the_window(
    daemon: Daemon, clock: Clock
) -> None:
    """Berlin is an hour ahead of UTC in winter: the night there is 21:00 to 05:00 here."""
    clock.set(datetime(2028, 2, 28, 12, tzinfo=UTC))
    with daemon.database.write() as connection:
        time = [{"begin": "22:00:00", "end": "06:00:00"}]
        connection.execute(insert(schedules).values(name="night", weekdays=None, time=time))
    daemon.queue("night", schedule_name="night")
    for outside in ("2028-02-29T20:30:00Z", "2028-02-29T05:30:00Z", "2128-02-28T12:00:00Z"):
        with pytest.raises(StartOutsideSchedule):
            daemon.enqueue("true", "night", start_time=parse_time(outside))
    past = daemon.witness("night", start_time=parse_time("2020-01-01T12:00:00Z"))
    leap = daemon.witness("night", start_time=parse_time("2028-02-29T21:30:00Z"))
    far = daemon.witness(start_time=parse_time("2128-02-29T12:00:00Z"))
    await until(lambda: daemon.job(past).reason_code == "window", "the past is now, and now it is closed")
    await until(lambda: daemon.job(far).reason_code == "not-before", "the reason")
    clock.set(datetime(2028, 2, 29, 21, 5, tzinfo=UTC))
    daemon.wake()
    await daemon.status(past, "Done")
    await until(lambda: daemon.job(leap).reason_code == "not-before", "it is open, and not yet its time")
    assert daemon.starts() == [past]
    clock.set(datetime(2028, 2, 29, 21, 30, tzinfo=UTC))
    daemon.wake()
    await daemon.status(leap, "Done")
    assert daemon.job(far).status == "New"


# --- files of types ---


async def test_f12_a_type_whose_file_was_changed_or_removed_leaves_alone_what_runs(daemon: Daemon) -> None:
    """Files are read at start: what waits gets the new text, or fails in a sentence where there is none."""
    old = JobType(name="old", template=(f"echo one; {waits_for(daemon, 'go')}; echo two",))
    gone = replace(old, name="gone")
    await daemon.stop()
    await restart_with(daemon, old, gone)
    running = [daemon.enqueue("", type=name, params={}) for name in ("old", "gone")]
    for job_id in running:
        await until(lambda job_id=job_id: daemon.output(job_id) == b"one\n", "it runs")
    waiting = [daemon.enqueue("", type=name, params={}) for name in ("old", "gone")]
    await daemon.stop()
    await restart_with(daemon, replace(old, template=("echo new",)))
    (daemon.folder / "go").touch()
    await daemon.all_are("Done", [*running, waiting[0]])
    assert [daemon.output(job_id) for job_id in running] == [b"one\ntwo\n"] * 2
    assert daemon.output(waiting[0]) == b"new\n"
    assert "gone" in (await daemon.status(waiting[1], "Failed")).reason_text


async def restart_with(daemon: Daemon, *types: JobType) -> None:
    daemon.parts = replace(daemon.parts, job_types=JobTypes([COMMAND, *types]))
    daemon.jobs._ground = replace(daemon.jobs._ground, job_types=daemon.parts.job_types)
    await daemon.start()


# --- what a job sees and says ---


async def test_g9_a_job_finds_no_secret_and_no_descriptor_of_ours(
    daemon: Daemon, prefect_server: PrefectServer
) -> None:
    job_id = daemon.enqueue("env; ls -l /proc/self/fd /proc/$$/fd")
    await daemon.status(job_id, "Done")
    said = daemon.output(job_id).decode()
    assert f"BATCHD_JOB_ID={job_id}\n" in said
    names = [line.split("=")[0] for line in said.splitlines() if "=" in line]
    assert not [name for name in names if name.startswith("PREFECT")]
    for secret in (SECRET, "AUTH_STRING", prefect_server.auth_string.partition(":")[2]):
        assert secret not in said
    for ours in ("batchd.db", "socket:", "prefect.db", "dispatcher.lock"):
        assert ours not in said


@pytest.mark.parametrize(
    "text",
    [
        "{{ prefect.blocks.secret.x }}",
        "{{ x",
        "{% raw %}",
        '{"__prefect_kind": "jinja", "template": "{{ 1 }}"}',
    ],
)
async def test_g12_what_prefect_would_evaluate_is_text_in_the_job_and_in_its_run(
    daemon: Daemon, prefect_server: PrefectServer, text: str
) -> None:
    job_id = daemon.enqueue("", type="say", params={"text": text})
    await daemon.status(job_id, "Done")
    assert daemon.output(job_id).decode() == text
    await daemon.shown(job_id, "COMPLETED")
    async with person(prefect_server) as client:
        run = await client.read_flow_run(daemon.runs(job_id)[0].id)
    assert text in str(run.parameters) or text in str(run.parameters).replace("\\", "")


# --- order by hand ---


async def test_h2_moved_and_prioritised_jobs_follow_and_one_that_runs_keeps_its_records(
    daemon: Daemon,
) -> None:
    daemon.queue("line", max_jobs=1)
    daemon.queue("other", enabled=False)
    gate = waits_for(daemon, "go")
    running = daemon.witness("line", between=f"echo before; {gate}; echo after")
    await until(lambda: daemon.output(running) == b"before\n", "it runs")
    first, second, third, moved = (daemon.witness("line") for _ in range(4))
    arrives = daemon.witness("other")
    daemon.change(third, priority=Priority.FIRST)
    daemon.change(first, priority=Priority.LESS)
    daemon.change(moved, move_to="other")
    daemon.change(arrives, move_to="line")
    seqs = daemon.job(running).seq
    (daemon.folder / "go").touch()
    await daemon.all_are("Done", [running, first, second, third, arrives])
    assert daemon.starts() == [running, third, second, first, arrives]
    assert daemon.output(running) == b"before\nafter\n"
    assert (daemon.job(running).seq, daemon.job(running).queue_name) == (seqs, "line")
    assert [row.job_id for row in daemon.rows(select(output.c.job_id).distinct())] == [running]
    assert len(daemon.attempts(running)) == 1
    assert (daemon.job(moved).queue_name, daemon.job(moved).status) == ("other", "New")
    query = select(flow_runs.c.queue_name).where(flow_runs.c.job_id == moved, ~flow_runs.c.gone)
    await until(lambda: [row[0] for row in daemon.rows(query)] == ["other"], "its run is in the other pool")
