"""Jobs on a host behind a network that fails. FAULTS: A1-A4 A6 C3 C5 C6 C8, D1-D4 D6 D7."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from batchd_api.db.tables import installation, output
from batchd_api.host_ledger import write_entry
from batchd_flows.job_types import COMMAND, OnFail, RetryWhen
from batchd_infra.hosts import HostKeyPolicy
from tests.dispatching import ROOT, Daemon, until
from tests.hanging_sshd import hanging
from tests.machine_park import SshdMachine
from tests.sshd import new_key
from tests.tcp_proxy import Blackhole, Pass, Refuse

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

D6_SECONDS = 40  # two tries, each step within five seconds
TYPES = (
    replace(COMMAND, name="brief", kill_after_seconds=1),
    replace(COMMAND, name="again", on_fail=OnFail(when=RetryWhen.NOW, count=1)),
)


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


@pytest.mark.parametrize("point", ["banner", "greeting", "login", "session", "exec", "exit status", "output"])
async def test_d6_a_server_that_hangs_at_any_point_is_left_in_time_and_holds_up_no_other(build, box, point):
    with hanging(point) as server:
        hangs = box.host("hangs", port=server.port, host_key_policy=HostKeyPolicy.ACCEPT_NEW)
        daemon = await build(more=[hangs])
        began = time.monotonic()
        job = daemon.enqueue("true", host_name="hangs")
        others = [daemon.enqueue("true", host_name="box"), daemon.enqueue("true")]
        await daemon.all_are("Done", others)
        await until(lambda: daemon.job(job).reason_code == "host-failed", "the reason")
        assert time.monotonic() - began < D6_SECONDS
        assert "in 3 s" in daemon.job(job).reason_text or "in 5 s" in daemon.job(job).reason_text
        assert (daemon.job(job).try_count, daemon.attempts(job)) == (0, [])


async def test_d6_a_host_that_stops_to_answer_while_a_job_runs_is_waited_for(build, proxy, tmp_path):
    daemon = await build()
    job = daemon.witness(host_name="box", between=f"echo one; {wait_for(tmp_path / 'go')}; echo two")
    await until(lambda: daemon.output(job) == b"one\n", "its first line")
    proxy.mode = Blackhole()
    (tmp_path / "go").touch()
    await daemon.status(daemon.enqueue("true"), "Done")
    assert daemon.job(job).status == "Processing"
    proxy.mode = Pass()
    await daemon.status(job, "Done")
    assert daemon.output(job) == b"one\ntwo\n"
    assert daemon.starts(job) == [job]


# --- what a command sees there, and what is left ---


async def test_g9_a_command_there_sees_a_login_s_surroundings_and_its_own_and_no_secret(
    build, box, monkeypatch
):
    monkeypatch.setenv("ONLY_HERE", "1")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "secret words")
    secrets = "PREFECT_X=secret DB_PASSWORD=secret AWS_SECRET_ACCESS_KEY=secret URL=db://u:secret@h/"
    (box.folder / "more").write_text(f"export HARMLESS=1 {secrets}\n")
    daemon = await build(environment={"OF_HOST": "h"}, variables={"unused": "v"})
    job = daemon.enqueue("env; ls -l /proc/$$/fd >&2", host_name="box")
    await daemon.status(job, "Done")
    said = daemon.output(job).decode()
    seen = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert "secret" not in said
    assert "ONLY_HERE" not in seen
    wanted = {"HARMLESS": "1", "OF_HOST": "h", "HOME": str(box.home), "BATCHD_JOB_ID": str(job)}
    assert {name: seen.get(name) for name in wanted} == wanted
    assert {name for name in seen if name.startswith("BATCHD")} == {
        *("BATCHD_JOB_ID", "BATCHD_QUEUE", "BATCHD_ATTEMPT", "BATCHD_ATTEMPT_MARK"),
    }
    assert not {name for name in seen if name.startswith(("SSH_", "PREFECT"))}


async def test_what_a_given_up_attempt_left_is_ended_and_removed_when_its_host_is_back(
    build, box, proxy, tmp_path
):
    daemon = await build(lost_after_seconds=1)
    script = f"trap '' TERM; echo $$ >{tmp_path}/pid; {wait_for(tmp_path / 'never')}"
    lost = daemon.enqueue(script, host_name="box", type="brief")
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
    proxy.mode = Refuse()
    await daemon.status(lost, "Failed")
    assert folders_of(box, daemon, lost)
    proxy.mode = Pass()
    living = daemon.witness(host_name="box", between=wait_for(tmp_path / "go"))
    _let_it_be_tried(daemon)
    await until(lambda: daemon.starts(living), "the next job there")
    await until(lambda: not folders_of(box, daemon, lost), "nothing of it is left")
    pid = (tmp_path / "pid").read_text().strip()
    await until(lambda: not Path(f"/proc/{pid}").exists(), "its process is gone")
    (tmp_path / "go").touch()
    await daemon.status(living, "Done")
    assert daemon.starts(living) == [living]


async def test_leftovers_of_a_crash_go_and_neither_what_lives_nor_what_others_have_put_there(
    build, box, tmp_path
):
    daemon = await build(input_directory="in")
    over = daemon.enqueue("true", host_name="box")
    await daemon.status(over, "Done")
    living = daemon.witness(host_name="box", between=wait_for(tmp_path / "go"))
    await until(lambda: daemon.starts(living), "it runs")
    (attempts,) = {folder.parent for folder in folders_of(box, daemon, living)}
    mark = attempts.name.removeprefix("attempts-")
    goes = [attempts / f"{over}.1", attempts / "999999.3"]
    goes += [box.home / "in" / f"batchd-{mark}-{over}.1", box.home / f"batchd-{mark}-999999.3"]
    stays = [
        attempts / f"{over}.2",
        attempts / "of.people",
        attempts.parent / "attempts-ffffffff" / f"{over}.1",
    ]
    stays += [box.home / "in" / name for name in (f"batchd-{mark}-{living}.1", f"batchd-ffffffff-{over}.1")]
    for folder in (*stays, *goes):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").touch()
    await until(lambda: not any(folder.exists() for folder in goes), "they are gone")
    assert all((folder / "file").exists() for folder in stays)
    (tmp_path / "go").touch()
    await daemon.status(living, "Done")


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


def folders_of(box: SshdMachine, daemon: Daemon, job: int) -> list[Path]:
    """Of this installation's attempts at this job, on the host."""
    (ours,) = daemon.rows(select(installation.c.id))
    return list(box.home.glob(f".batchd/attempts-{ours.id[:8]}/{job}.*"))


def _let_it_be_tried(daemon: Daemon) -> None:
    """As time does."""
    with daemon.database.write() as connection:
        write_entry(connection, "box", lambda known: replace(known, next_try=daemon.clock()))
    daemon.wake()


def _chunks(daemon: Daemon, job: int) -> list[bytes]:
    return [row.data for row in daemon.rows(select(output.c.data).where(output.c.job_id == job))]


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
