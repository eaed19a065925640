"""The demo's own daemon: a configuration, a state folder and a superuser, all under one folder."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchd_cli.client import Client, basic
from batchd_cli.errors import BatchError

JOB_TYPES = Path(__file__).parent / "jobtypes"
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
USER = "demo"


class DemoFailed(Exception):
    """The demo did not go as it should; the text says what."""


@dataclass(frozen=True, kw_only=True)
class DemoPlace:
    """Where the demo lives. Ports and folder may be set by DEMO_PORT, DEMO_PREFECT_PORT and DEMO_HOME."""

    home: Path
    port: int
    prefect_port: int

    @classmethod
    def from_environment(cls) -> DemoPlace:
        return cls(
            home=Path(os.environ.get("DEMO_HOME", ".demo")).absolute(),
            port=int(os.environ.get("DEMO_PORT", "9681")),
            prefect_port=int(os.environ.get("DEMO_PREFECT_PORT", "4200")),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def prefect_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def config(self) -> Path:
        return self.home / "batchd.yaml"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def password_file(self) -> Path:
        return self.home / "password"

    @property
    def log(self) -> Path:
        return self.home / "batchd.log"

    def prepare(self) -> str:
        """Write the configuration, have the superuser; its password."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(JOB_TYPES, self.home / "jobtypes", dirs_exist_ok=True)
        self.config.write_text(
            f"state_directory: {self.state}\n"
            f"manager:\n  port: {self.port}\n"
            f"prefect:\n  port: {self.prefect_port}\n"
            "dispatcher:\n  workers: 2\n"
            f"logging:\n  target: {self.log}\n"
        )
        first_time = not self.password_file.exists()
        if first_time:
            descriptor = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, secrets.token_urlsafe(12).encode())
            os.close(descriptor)
        password = self.password_file.read_text()
        self._admin("upgrade-db")
        if not self._admin("create-superuser", USER, password=password):
            self._admin("passwd", USER, password=password, must=True)
        return password

    def _admin(self, *words: str, password: str | None = None, must: bool = False) -> bool:
        options = ["--password-stdin"] if password is not None else []
        command = [program("batchd-admin"), "--config", str(self.config), *words, *options]
        done = subprocess.run(command, input=password, text=True, capture_output=True, check=False)
        if done.returncode and (must or words[0] == "upgrade-db"):
            raise DemoFailed(f"batchd-admin {words[0]}: {done.stderr.strip()}")
        return done.returncode == 0


def program(name: str) -> str:
    """One of our commands, from the environment that runs this."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def running(place: DemoPlace, password: str) -> Iterator[Client]:
    """The daemon, from ready to stopped, with a client that is logged in."""
    with place.log.open("a") as log:
        daemon = subprocess.Popen(
            [program("batchd"), "--config", str(place.config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is ours; the daemon is stopped below, in order
        )
    try:
        with Client(place.url, auth=basic(USER, password)) as client:
            _wait_until_ready(client, daemon)
            yield client
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _wait_until_ready(client: Client, daemon: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            said = daemon.stderr.read().strip() if daemon.stderr else ""
            raise DemoFailed(said or f"the daemon ended with exit code {daemon.returncode}")
        try:
            client.queues()
        except BatchError:
            time.sleep(0.1)
        else:
            return
    raise DemoFailed(f"the daemon did not answer within {READY_SECONDS:.0f} s")
