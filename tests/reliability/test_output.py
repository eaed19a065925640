"""Output of any bytes at any rate, and limits of a job, through the whole program. FAULTS.md: C1-C8."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from batchd_api.db.tables import attempts, output
from batchd_api.run_logs import POINTER
from tests.acceptance.harness import BIN, until
from tests.prefect_server import PrefectServer
from tests.reliability.daemon_memory import MOST_GROWTH_KIB, DaemonMemory, streamed, web
from tests.reliability.harness import Site, site
from tests.tcp_proxy import Pass, Refuse

pytestmark = pytest.mark.slow

LINES = b"".join(b"%d\n" % number for number in range(1, 200_001))


@pytest.fixture(scope="module")
def shared(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One daemon for all: none of these stops it."""
    with site(tmp_path_factory.mktemp("output"), prefect_server) as here:
        here.start().ready()
        yield here


def done(here: Site, script: str, status: str = "Done") -> int:
    number = here.ask(script)
    here.status(number, status)
    return number


def run(here: Site, *words: str) -> bytes:
    """What `batch` prints, byte for byte."""
    finished = subprocess.run(
        [BIN / "batch", *words], env=here.environment, capture_output=True, check=True, timeout=60
    )
    return finished.stdout


def test_c1_200000_lines_are_all_stored_in_order_in_bounded_memory(shared: Site) -> None:
    memory = DaemonMemory(shared)
    number = done(shared, "seq 1 200000")
    assert streamed(shared, f"/job/{number}/output") == (hashlib.sha256(LINES).hexdigest(), len(LINES))
    with web(shared) as client:
        records = client.get(f"/job/{number}/results").json()
    assert [record["stdout"] for record in records[:-1]] == LINES.decode().splitlines()
    assert records[-1]["exit_code"] == 0
    assert memory.grown_kib() < MOST_GROWTH_KIB


def test_c2_one_line_of_50_mb_is_stored_whole_in_bounded_memory(shared: Site) -> None:
    memory = DaemonMemory(shared)
    size = 50 * 2**20
    number = done(shared, f"head -c {size} /dev/zero | tr '\\0' x")
    whole = hashlib.sha256(b"x" * size).hexdigest()
    assert streamed(shared, f"/job/{number}/output") == (whole, size)
    assert streamed(shared, f"/job/{number}/results")[1] > size
    with web(shared) as client:
        tail = client.get(f"/job/{number}").json()["stdout"]
    assert set(tail) == {"x"}
    assert memory.grown_kib() < MOST_GROWTH_KIB


def test_c3_any_bytes_come_through_readable_as_text_and_exact_as_bytes(shared: Site, tmp_path: Path) -> None:
    every = bytes(range(256)) + b"\xed\xa0\x80\x1b[31mred\x1b[0m\xff\xfe\r\n\xf0\x9f\x98"
    (tmp_path / "bytes").write_bytes(every)
    number = done(shared, f"cat {tmp_path}/bytes; cat {tmp_path}/bytes >&2")
    text = every.decode("utf-8", "replace")
    with web(shared) as client:
        for path in (f"/job/{number}", f"/job/{number}/results", "/jobs?status=all"):
            answer = client.get(path)
            assert "\\ud8" not in answer.text.lower()
            json.loads(answer.content.decode())
        lines = [record["stdout"] for record in client.get(f"/job/{number}/results").json()[:-1]]
        events = client.get(f"/job/{number}/stream").text
        assert client.get(f"/job/{number}/output").content == every
        assert client.get(f"/job/{number}/output?stream=stderr").content == every
    assert [line for line in lines if line] == [line for line in text.split("\n") if line]
    said = [json.loads(line[6:]) for line in events.splitlines() if line.startswith('data: {"stream')]
    assert "".join(piece["text"] for piece in said if piece["stream"] == "stdout") == text
    assert run(shared, "logs", str(number), "--stream", "stdout") == every
    assert b"red" in run(shared, "logs", str(number))
    assert b"red" in run(shared, "job", str(number), "-r")
    assert json.loads(run(shared, "logs", str(number), "--json"))


def test_c4_output_while_prefect_is_away_is_whole_here_and_in_its_log_afterwards(shared: Site) -> None:
    number = shared.ask(f"seq 1 50; {shared.until_told('back')}; seq 51 100")
    until(60, "the first half", lambda: shared.output(number).count(b"\n") == 50)
    shared.network.mode = Refuse()
    try:
        shared.tell("back")
        shared.status(number, "Done")
    finally:
        shared.network.mode = Pass()
    expected = [str(line) for line in range(1, 101)]
    assert shared.output(number).decode().split() == expected
    until(60, "its log", lambda: prefect_log(shared, number).split() == expected)


def prefect_log(here: Site, number: int) -> str:
    return "\n".join(message for _, message in prefect_records(here, number))


def prefect_records(here: Site, number: int) -> list[tuple[str, str]]:
    """Level and text of what the run's log has, in order."""
    user, _, password = here.server.auth_string.partition(":")
    wanted = {"logs": {"flow_run_id": {"any_": [here.runs(number)[-1].id]}}, "sort": "TIMESTAMP_ASC"}
    with httpx.Client(auth=(user, password), timeout=30, trust_env=False) as client:
        answer = client.post(f"{here.server.api_url}/logs/filter", json=wanted | {"limit": 200})
    answer.raise_for_status()
    return [(record["level"], record["message"]) for record in answer.json()]


def test_c5_what_is_written_to_stderr_just_before_the_exit_is_there(shared: Site) -> None:
    numbers = [shared.ask("head -c 60000 /dev/zero; echo last words >&2; exit 3") for _ in range(8)]
    for number in numbers:
        shared.status(number, "Failed")
        with web(shared) as client:
            assert client.get(f"/job/{number}/output?stream=stderr").content == b"last words\n"
            assert client.get(f"/job/{number}").json()["exit_code"] == 3


def test_c6_the_end_is_that_of_the_command_not_that_of_its_pipes(shared: Site) -> None:
    began = time.monotonic()
    stays = shared.ask(f"({shared.until_told('leave')}) & echo gone")
    shared.status(stays, "Done")
    closes = shared.ask(f"exec >&- 2>&-; {shared.until_told('closed')}; exit 4")
    shared.status(closes, "Processing")
    time_to_first = time.monotonic() - began
    shared.tell("closed")
    assert shared.status(closes, "Failed").reason_text == "exit code 4"
    shared.tell("leave")
    assert shared.output(stays) == b"gone\n"
    assert time_to_first < 30


def test_c7_two_equal_lines_at_once_are_two(shared: Site) -> None:
    number = done(shared, "printf 'same\\nsame\\n'")
    with web(shared) as client:
        records = client.get(f"/job/{number}/results").json()
    assert [record["stdout"] for record in records] == ["same", "same", ""]
    assert records[0] == records[1]


def test_c8_each_end_has_a_code_and_a_reason_of_its_own(shared: Site, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    scripts = {
        "kill -9 $$": (-9, "ended by signal 9 (SIGKILL)"),
        "kill -15 $$": (-15, "ended by signal 15 (SIGTERM)"),
        "exit 137": (137, "exit code 137"),
        "exit 255": (255, "exit code 255"),
        "exec /no/such/program": (127, "command not found"),
        f"exec {tmp_path}/plain": (126, "not executable"),
    }
    with web(shared) as client:
        orders = {script: {"type": "command", "params": {"command": script}} for script in scripts}
        numbers = {
            client.post("/queue/default", json=orders[script]).json(): expected
            for script, expected in scripts.items()
        }
        for number, expected in numbers.items():
            shared.status(number, "Failed")
            job = client.get(f"/job/{number}").json()
            assert (job["exit_code"], job["reason"]["text"]) == expected


def test_b4_output_past_its_limit_is_cut_and_every_reader_is_told(shared: Site) -> None:
    number = shared.ask(
        f"echo begin; head -c 100000 /dev/zero | tr '\\0' x; {shared.until_told('cut')}; exit 5",
        output_limit="10K",
    )
    with web(shared) as client:
        until(30, "the word while it runs", lambda: client.get(f"/job/{number}").json()["output_cut"])
        assert client.get(f"/job/{number}").json()["status"] == "Processing"
        shared.tell("cut")
        assert shared.status(number, "Failed").reason_text == "exit code 5"
        answer = client.get(f"/job/{number}/output")
        assert (len(answer.content), answer.headers["x-output-cut"]) == (10 * 1024, "true")
        records = client.get(f"/job/{number}/results").json()
    assert [record["stderr"] for record in records if record["stderr"]] == [
        "[batchd: the output ends here, the job does not: it reached its output_limit, or the disk was full.]"
    ]
    assert records[-1]["exit_code"] == 5
    assert b"the output ends here" in b"".join(_both(shared, "logs", str(number)))
    until(30, "its log", lambda: "the output ends here" in prefect_log(shared, number))


def _both(here: Site, *words: str) -> tuple[bytes, bytes]:
    finished = subprocess.run([BIN / "batch", *words], env=here.environment, capture_output=True, timeout=60)
    return finished.stdout, finished.stderr


@pytest.mark.slow  # a record a second: 1 MiB takes 16 of them
def test_c1_the_prefect_log_of_200000_lines_ends_with_a_pointer_a_record_a_second(shared: Site) -> None:
    number = done(shared, "seq 1 200000")
    until(60, "the pointer", lambda: POINTER in prefect_log(shared, number)[-1000:])
    records = prefect_records(shared, number)
    assert records[-1][1] == POINTER
    assert 16 <= len(records) <= 25
    sent = "\n".join(text for _, text in records[:-1])
    assert abs(len(sent) - 2**20) < len(records)
    (row,) = shared.rows(select(func.count()).select_from(output).where(output.c.job_id == number))
    assert row[0] > 0


def test_limits_of_time_hold_while_everything_else_is_dead(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    with site(tmp_path, prefect_server) as here:
        first = here.start().ready()
        late = here.witness(between="trap '' TERM; sleep 300", timeout="3 s", kill_after=1)
        silent = here.witness(between="sleep 300", silence=3, kill_after=1)
        for number in (late, silent):
            here.begun(number)
        first.kill()
        for number in (late, silent):
            exit_file = here.attempt_folder(number) / "exit"
            until(30, f"the end of job {number}", exit_file.exists)
        here.start()
        reasons = {number: here.status(number, "Failed").reason_text for number in (late, silent)}
        assert reasons == {late: "timeout", silent: "silence"}
        assert sorted(here.starts()) == [late, silent]
        assert [attempt.exit_code for attempt in here.rows(select(attempts))] != [0, 0]


def test_a_drained_dispatcher_takes_nothing_new_and_its_jobs_are_waited_for(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    with site(tmp_path, prefect_server) as here:
        config = ("-c", str(here.config))
        assert here.run("batchd", "drain", *config).returncode == 2
        daemon = here.start().ready()
        runs = here.witness(between=here.until_told())
        here.begun(runs)
        over = here.run("batchd", "drain", *config, "--timeout", "0.5 s")
        assert (over.returncode, "1 job still running" in over.stderr) == (1, True)
        waits = here.witness()
        until(30, "the reason", lambda: "is draining" in (here.job(waits).reason_text or ""))
        here.tell()
        drained = here.run("batchd", "drain", *config)
        assert (drained.returncode, here.job(runs).status, here.job(waits).status) == (0, "Done", "New")
        assert here.run("batchd", "drain", *config, "--off").returncode == 0
        here.status(waits, "Done")
        assert here.run("batchd", "drain", *config).returncode == 0
        daemon.kill()
        again = here.start().ready()
        here.status(here.witness(), "Done")
        assert again.process.poll() is None
