"""The page of a whole daemon: its own Prefect, a machine behind SSH that comes and goes, jobs that run."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.harness import PASSWORD, USER, Installation, installation, running
from tests.sshd import Sshd, running_sshd

SETTINGS = "metrics: {dump_timeout: 1}\ntimezone: UTC\n"
TOLD = """
name: told
title: Tells how far it is
template: |
  #!/bin/sh
  for percent in 10 20 30 40; do echo "$percent% done"; sleep 1; done
  while ! [ -e "$gate" ]; do sleep 0.1; done
  echo "100% done"
progress: percent
params:
  - {name: gate}
"""


@dataclass(frozen=True, kw_only=True)
class DaemonWorld:
    here: Installation
    jobs: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.here.url

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """As the superuser."""
        login = httpx.BasicAuth(USER, PASSWORD)
        answer = httpx.request(method, self.url + path, json=body, auth=login, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def enqueue(self, name: str, queue: str, job_type: str, **params: str) -> int:
        self.jobs[name] = self.ask("POST", f"/queue/{queue}", {"type": job_type, "params": params})
        return self.jobs[name]

    def host(self, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/host/{name}"))


@contextmanager
def daemon_world(folder: Path) -> Iterator[DaemonWorld]:
    """Users: the superuser, and `ann` with the queue `night` alone, which opens in two hours."""
    with running_sshd(folder / "sshd") as sshd, installation(folder / "here", settings=SETTINGS) as here:
        here.job_type(TOLD)
        _machine(here, sshd)
        with running(here):
            world = DaemonWorld(here=here)
            _people_and_queues(world)
            yield world


def _machine(here: Installation, sshd: Sshd) -> None:
    for kind in ("controllers", "hosts"):
        (here.folder / kind).mkdir()
    (here.folder / "controllers" / "fake.yaml").write_text(
        "driver: fake\nstartup_seconds: 0.2\nshutdown_seconds: 0.2\n"
    )
    (here.folder / "hosts" / "box.yaml").write_text(
        f"host_name: 127.0.0.1\nport: {sshd.port}\nuser_name: {getpass.getuser()}\nprivate_key: {sshd.key}\n"
        "controller: fake\ncontroller_id: box\nstartup_time: 0\nshutdown_timeout: 10 min\n"
    )
    (here.state / "known_hosts").write_text(sshd.known_hosts.read_text())


def _people_and_queues(world: DaemonWorld) -> None:
    opens = datetime.now(UTC) + timedelta(hours=2)
    period = {"begin": f"{opens:%H:%M}:00", "end": f"{opens + timedelta(hours=6):%H:%M}:00"}
    world.ask("POST", "/schedule", {"name": "later", "weekdays": None, "time": [period]})
    night = {"name": "night", "title": "Night renders", "enabled": True, "schedule_name": "later"}
    world.ask("POST", "/queue", night)
    world.ask("POST", "/user", {"name": "ann", "password": "secret"})
    for right in ("ViewQueues", "ViewJobs", "ManageJobs", "CreateJobs"):
        world.ask("POST", "/user/ann/permissions", {"permission": right, "queue_name": "night"})
