"""The marker file of the embedded server: which process is ours, for the daemon that comes after us."""

import contextlib
import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

PROGRAM = "batchd_flows.embedded_prefect"


@dataclass(frozen=True, kw_only=True)
class ServerMarker:
    pid: int
    started: str  # what the system says of the process's start; with the pid it names one process for good
    port: int
    home: str
    fingerprint: str

    def is_alive(self) -> bool:
        return process_start(self.pid) == self.started

    def write(self, path: Path) -> None:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file)
        draft.replace(path)


def read_marker(path: Path) -> ServerMarker | None:
    """The marker, or None where there is none or it is not one (a crash cannot leave half a one)."""
    try:
        fields = json.loads(path.read_text())
        return ServerMarker(**fields)
    except (OSError, ValueError, TypeError):
        return None


def unmarked_server(home: Path) -> int | None:
    """A Prefect server of this home, whose parent was killed before it could write the marker."""
    wanted = f"PREFECT_HOME={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # others' processes, and those that have just ended
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_server = words[1:5] == [b"-m", PROGRAM.encode(), b"server", b"start"]
            if is_server and wanted in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
    return None


def process_start(pid: int) -> str | None:
    """When the process began, as the system tells it; None where it is gone or only waits to be buried."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _process_start_by_ps(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{ticks}"


def _process_start_by_ps(pid: int) -> str | None:
    """Systems without /proc (macOS)."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        state, _, started = answer.stdout.strip().partition(" ")
        return started.strip() if state and not state.startswith("Z") else None
    return None
