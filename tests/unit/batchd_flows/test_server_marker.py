import os
import subprocess
import sys
from pathlib import Path

from batchd_flows.server_marker import PROGRAM, ServerMarker, process_start, read_marker, unmarked_server


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


def test_a_server_without_a_marker_is_known_by_its_home(tmp_path: Path) -> None:
    """Its parent may have been killed between the start and the marker."""
    folder = tmp_path.joinpath(*PROGRAM.split("."))
    folder.mkdir(parents=True)
    (folder / "__main__.py").write_text("import time; print(flush=True); time.sleep(100)")
    home = tmp_path / "home"
    assert unmarked_server(home) is None
    words = [sys.executable, "-m", PROGRAM, "server", "start"]
    environment = {"PREFECT_HOME": str(home), "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            assert unmarked_server(home) == server.pid
            assert unmarked_server(tmp_path) is None
        finally:
            server.kill()
