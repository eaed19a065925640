"""The embedded Prefect server: a child process that outlives us and is found again by its marker.

Nothing of Prefect is imported here: its settings are read at import, and ours are not in place yet.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from batchd_flows.server_health import answers_healthy
from batchd_flows.server_marker import PROGRAM, ServerMarker, process_start, read_marker, unmarked_server
from batchd_flows.server_settings import (
    AuthStringUnusable,
    ServerError,
    ServerSettings,
    client_environment,
    fingerprint,
    load_or_create_auth_string,
    server_environment,
)
from batchd_flows.versions import BrokenVersions, check_versions

__all__ = [
    "AuthStringUnusable",
    "BrokenVersions",
    "EmbeddedServer",
    "PortTaken",
    "ServerDidNotStart",
    "ServerError",
    "ServerSettings",
    "check_versions",
    "client_environment",
    "load_or_create_auth_string",
    "server_environment",
]

log = logging.getLogger("batchd.prefect")

MOST_DOUBLINGS = 3  # of the time that a start may take
START_SECONDS = 120.0  # 9–20 s were measured on an idle machine
ORPHAN_SECONDS = 10.0
STOP_SECONDS = 10.0
KILL_SECONDS = 5.0
PORT_SECONDS = 2.0
LOOK_SECONDS = 0.1
HUNG_AFTER_MISSES = 3  # looks in a row without an answer, before a living server counts as hung
LOG_BYTES = 10_000_000


class PortTaken(ServerError):
    """Another program listens on the port of the embedded Prefect server."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} of 127.0.0.1, meant for the embedded Prefect server, is used by another program:"
            " end that, or set another prefect.port."
        )
        self.port = port


class ServerDidNotStart(ServerError):
    """The embedded Prefect server ended, or did not answer in time, while it was started."""

    def __init__(self, log: Path, last_lines: str) -> None:
        super().__init__(f"The embedded Prefect server did not start; {log} ends with: {last_lines}")
        self.log = log


class EmbeddedServer:
    def __init__(self, settings: ServerSettings, *, start_seconds: float = START_SECONDS) -> None:
        self.settings = settings
        self.log_file = settings.home / "server.log"
        self._start_seconds = start_seconds
        self._marker_file = settings.home / "server.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._misses = 0
        self._slow_starts = 0  # since the last that came to its end
        self._turn = asyncio.Lock()

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def api_url(self) -> str:
        return self.settings.api_url

    @property
    def ui_url(self) -> str:
        return self.settings.origin

    async def start(self) -> None:
        """Have a healthy server of ours: adopt a running one, else start it.

        Raises PortTaken, ServerDidNotStart.
        """
        async with self._turn:
            await self._start()

    def begin(self) -> None:
        """Start it where that is plain, and do not wait: `start` does, and says what is wrong. Blocking."""
        with contextlib.suppress(OSError):
            self.settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._living() is None and _port_is_free(self.port):
                self._spawn()

    async def ensure_running(self) -> bool:
        """Start the server again where it has died or hangs; whether that was needed."""
        async with self._turn:
            marker = self._living()
            if marker is not None and await self.healthy():
                self._misses = 0
                return False
            self._misses += 1
            if marker is not None and self._misses < HUNG_AFTER_MISSES:
                return False
            if marker is None:
                log.warning("the embedded Prefect server has ended")
            else:
                log.warning("the embedded Prefect server did not answer %d looks in a row", self._misses)
                await self._end(marker)
            await self._start()
            return True

    async def stop(self) -> None:
        """End the server, if it is ours; nothing happens where there is none."""
        async with self._turn:
            marker = self._living()
            if marker is not None:
                await self._end(marker)
            self._bury()
            self._marker_file.unlink(missing_ok=True)

    @property
    def answered(self) -> bool:
        """At the last look of `ensure_running`."""
        return self._misses == 0

    async def healthy(self) -> bool:
        return await answers_healthy(self.api_url)

    async def _start(self) -> None:
        self._misses = 0
        self.settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker = self._living()
        if marker is not None:
            if self._as_asked(marker) and await self._answers_in_time(marker, self._patience_with_orphan()):
                return
            await self._end(marker)
        if not await _comes_free(self.port):
            raise PortTaken(self.port)
        marker = self._spawn()
        if not await self._answers_in_time(marker, self._patience()):
            self._slow_starts += marker.is_alive()
            await self._give_up(marker)
        self._slow_starts = 0

    def _patience(self) -> float:
        """Seconds for a start. More each time they were too few: a busy machine would else never see one."""
        return float(self._start_seconds * 2 ** min(self._slow_starts, MOST_DOUBLINGS))

    def _patience_with_orphan(self) -> float:
        """Seconds to wait for a server found running: the rest of its start, or a little after that."""
        age = time.time() - self._marker_file.stat().st_mtime
        return max(ORPHAN_SECONDS, self._patience() - max(age, 0.0))

    def _living(self) -> ServerMarker | None:
        self._bury()
        marker = read_marker(self._marker_file)
        if marker is not None and marker.home == str(self.settings.home) and marker.is_alive():
            return marker
        pid = unmarked_server(self.settings.home)
        return None if pid is None else self._marker(pid, "nobody knows what it was started with")

    def _as_asked(self, marker: ServerMarker) -> bool:
        return marker.port == self.port and marker.fingerprint == fingerprint(self.settings)

    def _spawn(self) -> ServerMarker:
        _make_room(self.log_file)
        with os.fdopen(os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", PROGRAM, "server", "start"],
                cwd=self.settings.home,  # Prefect reads .env, prefect.toml and pyproject.toml where it starts
                env=server_environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                umask=0o077,
                start_new_session=True,
            )
        marker = self._marker(self._child.pid, fingerprint(self.settings))
        marker.write(self._marker_file)
        return marker

    def _marker(self, pid: int, told: str) -> ServerMarker:
        return ServerMarker(
            pid=pid,
            started=process_start(pid) or "",
            port=self.port,
            home=str(self.settings.home),
            fingerprint=told,
        )

    async def _answers_in_time(self, marker: ServerMarker, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and marker.is_alive():
            # Alive after the answer as well: the answer may be another program's that took the port.
            if await self.healthy() and marker.is_alive():
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _give_up(self, marker: ServerMarker) -> None:
        lost_the_port = not marker.is_alive() and not _port_is_free(self.port)
        await self._end(marker)
        self._marker_file.unlink(missing_ok=True)
        if lost_the_port:
            raise PortTaken(self.port)
        raise ServerDidNotStart(self.log_file, _last_lines(self.log_file))

    async def _end(self, marker: ServerMarker) -> None:
        """TERM, then KILL to its whole session; each signal only after another look at the start time."""
        if marker.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(marker.pid, signal.SIGTERM)
                os.kill(marker.pid, signal.SIGCONT)  # a stopped process does not hear TERM
        if not await self._gone(marker, STOP_SECONDS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(marker.pid, signal.SIGKILL)
            if not await self._gone(marker, KILL_SECONDS):
                raise ServerError(f"The embedded Prefect server (process {marker.pid}) cannot be ended.")

    async def _gone(self, marker: ServerMarker, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while marker.is_alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        self._bury()
        return True

    def _bury(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        marker = read_marker(self._marker_file) if self._child is None else None
        if marker is not None:
            with contextlib.suppress(ChildProcessError):  # our child too, where it began before an exec
                os.waitpid(marker.pid, os.WNOHANG)


async def _comes_free(port: int) -> bool:
    """A killed server's other threads hold its socket for a moment after the process counts as dead."""
    deadline = time.monotonic() + PORT_SECONDS
    while not _port_is_free(port):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT is no one
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _make_room(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))


def _last_lines(log_file: Path, count: int = 3) -> str:
    lines = log_file.read_text(errors="replace").splitlines()
    return " / ".join(line.strip() for line in lines[-count:] if line.strip()) or "nothing"
