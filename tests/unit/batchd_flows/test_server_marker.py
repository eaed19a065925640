import os
import subprocess
from pathlib import Path

from batchd_flows.server_marker import ServerMarker, process_start, read_marker


def marker(pid: int, started: str) -> ServerMarker:
    return ServerMarker(pid=pid, started=started, port=1, home="/h", fingerprint="f")


def test_a_marker_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = marker(os.getpid(), process_start(os.getpid()) or "")
    written.write(tmp_path / "m")
    assert read_marker(tmp_path / "m") == written
    assert written.is_alive()


def test_what_is_no_marker_reads_as_none(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"pid": 1')
    (tmp_path / "n").write_text('{"pid": 1}')
    assert read_marker(tmp_path / "m") is None
    assert read_marker(tmp_path / "n") is None
    assert read_marker(tmp_path / "missing") is None


def test_another_process_with_the_same_pid_is_not_ours() -> None:
    assert not marker(os.getpid(), "another boot:17").is_alive()


def test_a_process_that_only_waits_to_be_buried_is_dead() -> None:
    child = subprocess.Popen(["sleep", "100"])
    started = process_start(child.pid)
    assert started is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not marker(child.pid, started).is_alive()
    finally:
        child.wait()
