"""Jobs on a host behind a network that fails, and their files. FAULTS: A1-A4 A6 C3 C5 C6 C8, D1-D5 D7 G8."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from batchd_api.db.tables import attempts, output
from batchd_api.host_ledger import write_entry
from batchd_api.hosting import HostPace
from batchd_flows.job_types import COMMAND, JobType, OnFail, RetryWhen
from batchd_flows.parameters import Parameter, ParameterType
from batchd_infra.file_roots import FileRoots
from batchd_infra.host_pool import PoolPace
from batchd_infra.hosts import HostKeyPolicy
from tests.dispatching import ROOT, Daemon, until
from tests.machine_park import SshdMachine, machine_park
from tests.prefect_server import PrefectServer
from tests.sshd import new_key
from tests.tcp_proxy import CutAfter, Pass, Refuse, TcpProxy, tcp_proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MIB = 1 << 20
PACE = HostPace(
    pool=PoolPace(tries=2, try_pause_seconds=0.1, look_seconds=0.1, ready_limit_seconds=2),
    copy_retry_seconds=(0.2, 0.5),
    ssh={"connect_seconds": 2, "handshake_seconds": 3, "login_seconds": 5, "answer_seconds": 5},
)
SOURCE = Parameter(name="source", type=ParameterType.INPUT_FILE)
TARGET = Parameter(name="target", type=ParameterType.OUTPUT_FILE)
TYPES = (
    replace(COMMAND, name="brief", kill_after_seconds=1),
    replace(COMMAND, name="again", on_fail=OnFail(when=RetryWhen.NOW, count=1)),
    JobType(name="copy", template=('echo run >>ran; cat "$source" >"$target"',), params=(SOURCE, TARGET)),
    JobType(
        name="retried copy",
        template=('echo run >>ran; cat "$source" >"$target"',),
        params=(SOURCE, TARGET),
        on_fail=OnFail(when=RetryWhen.NOW, count=3),
    ),
    JobType(name="frames", template=('mkdir -p "${target%/*}"; cd "${target%/*}"; : >f1.png; : >f2.png',),
            params=(TARGET,)),
    JobType(name="old", template=("echo plain >out/result",), params=(TARGET,)),
    JobType(name="tree", template=('cp -r "$source" "$target"',), params=(SOURCE, TARGET)),
)  # fmt: skip


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdMachine]:
    with machine_park(tmp_path_factory.mktemp("park"), "box") as machines:
        machines["box"].boot()
        yield machines["box"]


@pytest.fixture
def proxy(box: SshdMachine) -> Iterator[TcpProxy]:
    with tcp_proxy(box.port) as proxy:
        yield proxy
        proxy.mode = Pass()


Build = Callable[..., Awaitable[Daemon]]


@pytest.fixture
async def build(
    prefect_server: PrefectServer, tmp_path: Path, box: SshdMachine, proxy: TcpProxy
) -> AsyncIterator[Build]:
    daemons: list[Daemon] = []

    async def make(*, known: bool = True, roots: FileRoots | None = None, **fields: Any) -> Daemon:
        host = box.host("box", port=proxy.port, **fields)
        daemon = Daemon(prefect_server, tmp_path, workers=4, types=TYPES, hosts=[host], host_pace=PACE)
        if roots is not None:
            daemon.parts = replace(daemon.parts, file_roots=roots)
        if known:
            (tmp_path / "known_hosts").write_text(box.known_line(proxy.port))
        daemons.append(daemon)
        await daemon.start()
        return daemon

    yield make
    proxy.mode = Pass()
    for daemon in daemons:
        for attempt in daemon.rows(_alive()):
            daemon.jobs.cancel(ROOT, attempt.job_id)
        await daemon.close()


def wait_for(file: Path) -> str:
    return f"while [ ! -e {file} ]; do sleep 0.05; done"


# --- the same life as here ---


async def test_a1_a2_a_command_outlives_its_dispatcher_and_is_found_again(build, tmp_path):
    daemon = await build()
    job = daemon.witness(host_name="box", between=f"echo one; {wait_for(tmp_path / 'go')}; echo two")
    await until(lambda: daemon.output(job) == b"one\n", "its first line")
    await daemon.stop()
    (tmp_path / "go").touch()
    await daemon.start()
    await daemon.status(job, "Done")
    assert daemon.output(job) == b"one\ntwo\n"
    assert daemon.starts(job) == [job]


@pytest.mark.parametrize(
    ("type_name", "status", "attempts"), [("command", "Failed", 1), ("again", "Done", 2)]
)
async def test_a3_a4_a_supervisor_that_is_killed_leaves_a_lost_attempt(
    build, tmp_path, type_name, status, attempts
):
    daemon = await build()
    script = f"if [ -e {tmp_path}/first ]; then exit 0; fi; echo $PPID >{tmp_path}/first; exec sleep 600"
    job = daemon.enqueue(script, host_name="box", type=type_name)
    await until(lambda: (tmp_path / "first").exists() and (tmp_path / "first").read_text(), "it runs")
    pid = int((tmp_path / "first").read_text())
    supervisor = next(p for p in _ancestors(pid) if "supervisor" in _command_line(p))
    os.kill(supervisor, signal.SIGKILL)
    await daemon.status(job, status)
    assert len(daemon.attempts(job)) == attempts
    assert "outcome unknown" in daemon.attempts(job)[0].reason


@pytest.mark.parametrize(
    ("script", "exit_code", "reason"),
    [
        ("kill -9 $PPID", -9, "ended by signal 9 (SIGKILL)"),  # A6, C8
        ("exit 255", 255, None),
        ("no-such-program", 127, "command not found"),
    ],
)
async def test_how_a_command_ended_there_is_told_apart(build, script, exit_code, reason):
    daemon = await build()
    job = daemon.enqueue(f"{script}", host_name="box")
    await daemon.status(job, "Failed")
    (attempt,) = daemon.attempts(job)
    assert (attempt.exit_code, attempt.reason) == (exit_code, reason)


async def test_c3_c5_c6_all_bytes_come_over_and_the_end_is_seen_by_the_pid(build):
    daemon = await build()
    script = r"printf 'a\000\377b'; exec >&-; sleep 0.2; echo last words >&2; (sleep 5) & exit 0"
    job = daemon.enqueue(script, host_name="box")
    await daemon.status(job, "Done")
    assert sorted([b"a\0\xffb", b"last words\n"]) == sorted(_chunks(daemon, job))


async def test_a_cancel_ends_the_whole_tree_there(build, tmp_path):
    daemon = await build()
    job = daemon.enqueue(
        f"trap '' TERM; sleep 600 & echo $! >{tmp_path}/pid; wait", host_name="box", type="brief"
    )
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
    daemon.jobs.cancel(ROOT, job)
    row = await daemon.status(job, "Failed")
    assert row.reason_text == "cancelled by root"
    await until(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists(), "it is gone")


# --- a network that fails ---


async def test_d3_a_connection_that_is_cut_and_comes_back_changes_nothing(build, proxy, tmp_path):
    daemon = await build()
    job = daemon.witness(host_name="box", between=f"echo one; {wait_for(tmp_path / 'go')}; echo two")
    await until(lambda: daemon.output(job) == b"one\n", "its first line")
    proxy.mode = Refuse()
    (tmp_path / "go").touch()
    await daemon.status(daemon.enqueue("true"), "Done")  # others go on
    assert daemon.job(job).status == "Processing"
    proxy.mode = Pass()
    await daemon.status(job, "Done")
    assert daemon.output(job) == b"one\ntwo\n"
    assert daemon.starts(job) == [job]


async def test_d4_a_host_that_never_comes_back_is_given_up_and_no_job_runs_twice_at_once(
    build, proxy, tmp_path
):
    daemon = await build(lost_after_seconds=1)
    job = daemon.witness(host_name="box", type="again", between=wait_for(tmp_path / "go"))
    await until(lambda: daemon.starts(job), "it runs")
    proxy.mode = Refuse()
    await until(lambda: daemon.attempts(job)[0].state == "ended", "it is given up")
    assert "host box has not been reachable since" in daemon.attempts(job)[0].reason
    proxy.mode = Pass()
    _let_it_be_tried(daemon)
    await until(lambda: len(daemon.starts(job)) == 2, "the second attempt")
    (tmp_path / "go").touch()
    await daemon.status(job, "Done")
    assert daemon.witnessed() == [("start", job), ("start", job), ("end", job)]  # the first one never ended


async def test_a_host_out_of_reach_is_no_failed_execution(build, proxy):
    proxy.mode = Refuse()
    daemon = await build()
    job = daemon.enqueue("true", host_name="box")
    await until(lambda: daemon.job(job).reason_code == "host-failed", "the reason")
    assert (daemon.job(job).try_count, daemon.attempts(job)) == (0, [])
    proxy.mode = Pass()
    _let_it_be_tried(daemon)
    await daemon.status(job, "Done")


# --- who is there ---


async def test_d1_an_unknown_host_key_fails_the_job_and_nothing_is_sent(build, box):
    daemon = await build(known=False)
    before = (box.folder / "log").read_text().count("Accepted")
    row = await daemon.status(daemon.enqueue("true", host_name="box"), "Failed")
    assert row.reason_text.startswith("host key unknown")
    assert (box.folder / "log").read_text().count("Accepted") == before


async def test_d2_a_changed_host_key_fails_the_job_loudly(build, proxy, tmp_path, caplog):
    other = new_key(tmp_path / "other").with_suffix(".pub").read_text()
    daemon = await build(known=False)
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{proxy.port} {other}")
    row = await daemon.status(daemon.enqueue("true", host_name="box"), "Failed")
    assert "HAS CHANGED" in row.reason_text
    assert "HAS CHANGED" in caplog.text


async def test_an_unknown_key_is_believed_once_where_the_host_says_so(build, tmp_path):
    daemon = await build(known=False, host_key_policy=HostKeyPolicy.ACCEPT_NEW)
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    assert (tmp_path / "known_hosts").read_text()


@pytest.mark.parametrize("passphrase", ["", "secret word"])
async def test_d7_a_key_that_is_refused_or_locked_fails_the_job_and_stays_secret(
    build, tmp_path, passphrase, caplog
):
    key = new_key(tmp_path / "foreign", passphrase=passphrase)
    daemon = await build(private_key=str(key))
    row = await daemon.status(daemon.enqueue("true", host_name="box"), "Failed")
    assert ("passphrase" if passphrase else "refused") in row.reason_text
    assert "secret word" not in caplog.text


# --- files ---


def copy(daemon: Daemon, source: Path, target: Path, type_name: str = "copy") -> int:
    params = {"source": str(source), "target": str(target)}
    return daemon.enqueue("", type=type_name, host_name="box", params=params)


async def test_files_go_there_and_back_and_equal_names_never_meet(build, box, tmp_path):
    daemon = await build(input_directory="in", output_directory="out", checksum=True)
    jobs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(f"of {name}")
        jobs.append(copy(daemon, tmp_path / name / "same", tmp_path / name / "result"))
    await daemon.all_are("Done", jobs)
    assert [(tmp_path / name / "result").read_text() for name in ("a", "b")] == ["of a", "of b"]
    assert b"batchd: copied" in daemon.output(jobs[0])
    await until(lambda: not any((box.home / "in").iterdir()), "what was there is removed")
    await until(lambda: not any((box.home / "out").iterdir()), "and what came back")


async def test_what_a_command_writes_straight_into_the_output_directory_is_found_too(build, box, tmp_path):
    (box.home / "out").mkdir(exist_ok=True)
    daemon = await build(output_directory="out", working_directory=str(box.home))
    job = daemon.enqueue("", type="old", host_name="box", params={"target": str(tmp_path / "result")})
    await daemon.status(job, "Done")
    assert (tmp_path / "result").read_text() == "plain\n"


async def test_all_that_matches_a_pattern_comes_back_and_folders_do(build, tmp_path):
    daemon = await build()
    (tmp_path / "here").mkdir()
    frames = daemon.enqueue(
        "", type="frames", host_name="box", params={"target": str(tmp_path / "here" / "f*.png")}
    )
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "leaf").write_text("leaf")
    tree = copy(daemon, tmp_path / "tree", tmp_path / "back", "tree")
    await daemon.all_are("Done", [frames, tree])
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["f1.png", "f2.png"]
    assert (tmp_path / "back" / "inner" / "leaf").read_text() == "leaf"


async def test_d5_a_job_whose_upload_is_cut_is_not_started(build, proxy, box, tmp_path):
    (box.home / "ran").unlink(missing_ok=True)
    daemon = await build()
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    (tmp_path / "big").write_bytes(os.urandom(4 * MIB))
    proxy.mode = CutAfter(MIB, "up")
    job = copy(daemon, tmp_path / "big", tmp_path / "result")
    row = await daemon.status(job, "Failed")
    assert row.reason_text.startswith(f"input transfer: {tmp_path / 'big'}")
    assert not (box.home / "ran").exists()


async def test_d5_a_download_that_is_cut_is_tried_again_alone(build, proxy, box, tmp_path):
    (box.home / "ran").unlink(missing_ok=True)
    daemon = await build()
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    (tmp_path / "big").write_bytes(os.urandom(4 * MIB))
    proxy.mode = CutAfter(MIB, "down", times=1)
    job = copy(daemon, tmp_path / "big", tmp_path / "result", "retried copy")
    await daemon.status(job, "Done")
    assert (tmp_path / "result").read_bytes() == (tmp_path / "big").read_bytes()
    assert (box.home / "ran").read_text() == "run\n"
    assert b"tried again" in daemon.output(job)


async def test_d5_a_download_that_never_comes_through_fails_the_job_and_runs_nothing_again(
    build, proxy, box, tmp_path
):
    (box.home / "ran").unlink(missing_ok=True)
    daemon = await build()
    await daemon.status(daemon.enqueue("true", host_name="box"), "Done")
    (tmp_path / "big").write_bytes(os.urandom(4 * MIB))
    proxy.mode = CutAfter(MIB, "down")
    job = copy(daemon, tmp_path / "big", tmp_path / "result", "retried copy")
    row = await daemon.status(job, "Failed")
    (attempt,) = daemon.attempts(job)
    assert attempt.exit_code == 0
    assert row.reason_text.startswith("output transfer: ")
    assert (box.home / "ran").read_text() == "run\n"
    assert not (tmp_path / "result").exists()


async def test_g8_files_outside_of_the_roots_are_neither_read_nor_written(build, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "plain").write_text("plain")
    daemon = await build(roots=FileRoots(roots=(inside,)))
    reads = copy(daemon, inside / "link", inside / "result")
    writes = copy(daemon, inside / "plain", inside / "way out")
    (inside / "way out").symlink_to(tmp_path / "secret")
    await daemon.all_are("Failed", [reads, writes])
    assert (tmp_path / "secret").read_text() == "secret"
    assert "file_roots" in daemon.job(reads).reason_text


async def test_a_missing_input_file_fails_the_job_by_name(build, tmp_path):
    daemon = await build()
    row = await daemon.status(copy(daemon, tmp_path / "nowhere", tmp_path / "result"), "Failed")
    assert row.reason_text == f"input transfer: {tmp_path / 'nowhere'}: No such file or directory"


def _let_it_be_tried(daemon: Daemon) -> None:
    """As time does."""
    with daemon.database.write() as connection:
        write_entry(connection, "box", lambda known: replace(known, next_try=daemon.clock()))
    daemon.wake()


def _alive() -> Any:
    return select(attempts).where(attempts.c.state != "ended", attempts.c.cancel_requested_at.is_(None))


def _chunks(daemon: Daemon, job: int) -> list[bytes]:
    return [row.data for row in daemon.rows(select(output.c.data).where(output.c.job_id == job))]


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
