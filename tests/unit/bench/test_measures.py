"""Each measurement finds what was put in: a known delay, a known gap, three writes a job."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import daemon, enqueues, latency, run, throughput, transfer, waiting_jobs
from bench.figures import Figure
from bench.mirror_lag import lag_in
from bench.places import Ours

BEGAN = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_a_call_that_takes_its_time_shows_it() -> None:
    found = enqueues.seconds_each(lambda: time.sleep(0.05), 3)
    assert len(found) == 3
    assert all(0.05 <= seconds < 5 for seconds in found)
    assert enqueues.mean([1.0, 2.0, 6.0]) == 3.0


@dataclass
class SlowStart:
    """An installation whose jobs start so late after the enqueue's answer."""

    delay_seconds: float

    def client(self) -> Any:
        @contextmanager
        def opened() -> Iterator[Any]:
            def enqueue(*_: object) -> Any:
                started = time.time() + self.delay_seconds
                result = SimpleNamespace(stdout=f"{started}\n")
                return SimpleNamespace(wait=lambda _: result)

            yield SimpleNamespace(enqueue=enqueue)

        return opened()


@pytest.mark.parametrize("delay_seconds", [0.0, 0.7, 3.0])
def test_latency_is_from_the_answer_to_the_commands_own_clock(delay_seconds: float) -> None:
    place = cast("Ours", SimpleNamespace(here=SlowStart(delay_seconds)))
    assert latency.our_latency(place) == pytest.approx(delay_seconds, abs=0.6)


def test_a_latency_read_from_a_file_waits_until_it_is_whole(tmp_path: Path) -> None:
    said, answered = tmp_path / "said", time.time()
    said.write_text(f"{answered + 1}"[:-4])  # still being written
    threading.Timer(0.1, lambda: said.write_text(f"{answered + 2.5}\n")).start()
    assert latency.said_after(answered, said) == pytest.approx(2.5, abs=0.01)


def attempts(folder: Path, *spans: tuple[float, float]) -> Ours:
    """A place whose database has these attempts, in seconds since BEGAN."""
    with closing(sqlite3.connect(folder / "batchd.db")) as database, database:
        database.execute("create table attempts (queue_name, started_at, ended_at)")
        for span in spans:
            moments = [f"{(BEGAN + timedelta(seconds=second)).replace(tzinfo=None)}" for second in span]
            database.execute("insert into attempts values ('q', ?, ?)", moments)
        database.execute(
            "insert into attempts values ('other', '2026-05-04 12:00:00', '2026-05-04 12:00:09')"
        )
    return Ours(cast("Any", SimpleNamespace(state=folder)), cast("Any", None))


def test_gaps_are_from_an_end_to_the_next_start_in_that_queue(tmp_path: Path) -> None:
    place = attempts(tmp_path, (5.0, 6.0), (0.0, 1.5), (2.0, 4.75))  # in no order
    assert throughput.gaps_seconds(place, "q") == pytest.approx([0.5, 0.25])


def test_a_span_is_the_attempts_own_times_in_utc(tmp_path: Path) -> None:
    place = attempts(tmp_path, (0.25, 3.5))
    assert place.spans("queue_name = 'q'") == [(BEGAN.timestamp() + 0.25, BEGAN.timestamp() + 3.5)]


@dataclass
class Writes:
    """What a server of Prefect's paths was asked; its first answer to a state is 503."""

    states: dict[str, list[str]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    pause_seconds: float = 0.0

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        words = path.split("/")  # /api/flow_runs/ID/set_state
        self.asked[words[2]] += 1
        if words[-1] == "set_state":
            self.asked["set_state"] += 1
            if self.asked["set_state"] == 1:
                return 503, {}
            time.sleep(self.pause_seconds)
            self.states.setdefault(words[3], []).append(body["state"]["type"])
        return 200, {"id": f"run{self.asked[words[2]]}"}


@contextmanager
def prefect(writes: Writes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, record = writes.answer(self.path, body)
            text = json.dumps(record).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "prefect-auth").write_text("name:word\n")
    return tmp_path


def bare_rate(state: Path, writes: Writes, jobs: int, *, in_pool: bool = False) -> float:
    with prefect(writes) as port:
        place = Ours(cast("Any", SimpleNamespace(state=state, prefect_port=port)), cast("Any", None))
        return throughput.bare_rate(place, jobs, in_pool=in_pool)


@pytest.mark.parametrize("in_pool", [False, True])
def test_the_bare_calls_are_three_states_a_job_and_one_more_where_the_server_was_busy(
    state: Path, in_pool: bool
) -> None:
    writes = Writes()
    bare_rate(state, writes, 4, in_pool=in_pool)
    assert len(writes.states) == 4
    made = 4 if in_pool else 0
    assert writes.asked["deployments"] == made + in_pool  # the deployment itself, and a run of it each
    assert writes.asked["work_pools"] == in_pool
    assert set(map(tuple, writes.states.values())) == {("PENDING", "RUNNING", "COMPLETED")}
    assert writes.asked["set_state"] == 3 * 4 + 1


def test_the_rate_of_the_bare_calls_is_the_servers(state: Path) -> None:
    rate = bare_rate(state, Writes(pause_seconds=0.02), 5)
    assert 0.1 < rate < 1 / (3 * 0.02)


def test_two_that_are_asked_in_turn_have_a_median_each() -> None:
    turns: list[str] = []
    pauses = iter([0.3, 0.01, 0.02])

    def slow_at_first() -> None:
        turns.append("one")
        time.sleep(next(pauses))

    one, other = waiting_jobs.in_turn(3, slow_at_first, lambda: turns.append("other"))
    assert turns == ["one", "other"] * 3
    assert 0.02 <= one < 0.3
    assert other < one


def test_a_share_of_a_core_is_work_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = {1: iter([10.0, 10.1]), 2: iter([3.0, 3.02])}
    clock, slept = iter([5.0, 5.2]), list[float]()
    monkeypatch.setattr(daemon, "cpu_seconds", lambda pids: next(worked[min(pids)]))
    monkeypatch.setattr(daemon, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=slept.append))
    assert daemon.shares(0.15, lambda: {1}, lambda: {2}) == pytest.approx([0.5, 0.1])
    assert slept == [0.15]


def test_what_copies_takes_turns_and_counts_its_best() -> None:
    turns: list[str] = []
    pauses = iter([0.5, 0.02])

    def ours() -> None:
        turns.append("ours")
        time.sleep(next(pauses))

    best, other = transfer._in_turns(2, ours, lambda: turns.append("theirs"))
    assert turns == ["ours", "theirs", "ours", "theirs"]
    assert 0.02 <= best < 0.5
    assert other < best


def test_the_lag_is_the_longest_that_any_dispatcher_says() -> None:
    text = (
        "# HELP batchd_mirror_lag_seconds How far\n# TYPE batchd_mirror_lag_seconds gauge\n"
        'batchd_mirror_lag_seconds{dispatcher="a"} 2.5\nbatchd_mirror_lag_seconds{dispatcher="b"} 11.0\n'
        "batchd_other 99\n"
    )
    assert lag_in(text) == 11.0
    assert lag_in("batchd_other 99\n") == 0.0


def test_a_name_that_measures_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "latency", "luck"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no such measurement: luck" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "is_written"), [([], True), (["latency"], False), (["--quick"], False)])
def test_only_the_whole_run_writes_the_page(
    words: list[str], is_written: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(run, "MEASURES", {"latency": lambda _: iter([Figure(what="how fast", ours="1 s")])})
    monkeypatch.setattr("sys.argv", ["bench", *words])
    assert run.main() == 0
    assert (tmp_path / "performance.md").exists() is is_written
    if is_written:
        assert "| how fast | 1 s |" in (tmp_path / "performance.md").read_text()
