"""Much output: a million lines while the job works, and a hundred megabytes to read back."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, at_least, at_most, below
from bench.memory import counted
from bench.places import Ours, pss_mib, until
from bench.site import Site
from tests.acceptance.harness import PASSWORD, USER

# Writes the lines evenly over the seconds, and works (hashes) between them.
WRITER = """
import hashlib, sys, time
lines, seconds = int(sys.argv[1]), float(sys.argv[2])
began, digest = time.monotonic(), hashlib.sha256()
for turn in range(100):
    for number in range(lines // 100):
        sys.stdout.write(f"line {turn} {number} of an output that somebody will want to read\\n")
    sys.stdout.flush()
    while time.monotonic() - began < (turn + 1) * seconds / 100 - 0.02:
        digest.update(bytes(100_000))
"""


def measure(site: Site) -> Iterator[Figure]:
    lines, seconds, megabytes = (10_000, 1, 2) if site.quick else (1_000_000, 20, 100)
    folder = site.folder()
    program = folder / "writer.py"
    program.write_text(WRITER)
    command = f"{sys.executable} {program} {lines} {seconds}"
    plain = seconds_to_a_file(command, folder / "plain")
    with site.ours() as place:
        yield from many_lines(place, command, lines, plain)
        yield read_back(place, folder, megabytes)


def seconds_to_a_file(command: str, file: Path) -> float:
    began = time.perf_counter()
    with file.open("wb") as out:
        subprocess.run(command.split(), stdout=out, check=True)
    return time.perf_counter() - began


def many_lines(place: Ours, command: str, lines: int, plain: float) -> Iterator[Figure]:
    """Its memory is of all that is ours: daemon and supervisor, whoever of them keeps the lines."""
    before, peak = pss_mib(counted(place, command)), 0.0
    with place.here.client() as client:
        job = client.enqueue("default", "command", {"command": command})
        while job.job().status not in ("Done", "Failed"):
            peak = max(peak, pss_mib(counted(place, command)))
            time.sleep(0.25)
        ended = time.perf_counter()
    ((started, stopped),) = place.spans(f"job_id = {job.id}")
    until("all of it", lambda: output(place, job.id).count(b"\n") == lines, pause=0.1)
    readable = time.perf_counter() - ended
    name = "the same command to a file"
    words = f"a job that writes {lines} lines meanwhile"
    yield at_most(words, stopped - started, plain, 1.1, unit="s", name=name)
    yield below("the memory of daemon and supervisor grows by (PSS)", peak - before, 50, unit="MiB")
    yield below("readable in full after its end in", readable, 5, unit="s")


def output(place: Ours, number: int) -> bytes:
    return b"".join(chunks(place, number))


def chunks(place: Ours, number: int) -> Iterator[bytes]:
    """Read as the other side of the comparison is: from a socket, behind the answer's head."""
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    head = f"GET /job/{number}/output?stream=stdout HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", place.here.port)) as end:
        end.sendall(f"{head}Authorization: Basic {login}\r\n\r\n".encode())
        begin = b""
        while b"\r\n\r\n" not in begin:
            begin += end.recv(65536)
        status, body = begin.split(b"\r\n", 1)[0], begin.split(b"\r\n\r\n", 1)[1]
        if b" 200 " not in status:
            raise RuntimeError(status.decode())
        yield body
        while part := end.recv(65536):
            yield part


def read_back(place: Ours, folder: Path, megabytes: int) -> Figure:
    file = folder / "much"
    file.write_bytes(bytes(range(256)) * (megabytes * 4096))
    with place.here.client() as client:
        job = client.enqueue("default", "command", {"command": f"cat {file}"})
        job.wait(300)
    rates = [(rate(chunks(place, job.id)), rate(through_a_socket(file))) for _ in range(3)]
    return at_least(
        f"{megabytes} MB from /job/:id/output", max(a for a, _ in rates), max(b for _, b in rates), 0.2,
        unit="MB/s", name="cat through a socket",
    )  # fmt: skip


def rate(parts: Iterator[bytes]) -> float:
    began = time.perf_counter()
    size = sum(len(part) for part in parts)
    return size / 1e6 / (time.perf_counter() - began)


def through_a_socket(file: Path) -> Iterator[bytes]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with end, subprocess.Popen(["cat", file], stdout=other.fileno()):
        other.close()
        while part := end.recv(65536):
            yield part
