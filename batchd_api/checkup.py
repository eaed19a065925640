"""What `batchd doctor` looks at, a function a topic. Each finding is fine, or says what to do."""

from __future__ import annotations

import platform
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import httpx
from sqlalchemy import Connection, func, select

from batchd_api.changes import unsaid
from batchd_api.config_check import Checked
from batchd_api.db.session import Database
from batchd_api.db.tables import dispatchers, queues
from batchd_api.db.upgrade import current_revision, head_revision
from batchd_api.errors import BatchdError, StartupError
from batchd_api.forgetting import last_seen, silent_ones
from batchd_api.old_database import refuse_originals
from batchd_api.settings import database_url
from batchd_api.settings_records import Settings
from batchd_api.startup import KNOWN_HOSTS_FILE
from batchd_api.world import alive_since
from batchd_flows.account import CannotRunAs, usable_account
from batchd_flows.versions import BrokenVersions, check_versions
from batchd_infra.controller import Controller
from batchd_infra.errors import InfraError
from batchd_infra.hosts import LOCAL_CONTROLLER, Host
from batchd_infra.known_hosts import known_keys
from batchd_infra.ssh_errors import KeyUnusable
from batchd_infra.ssh_keys import USUAL_KEYS, read_key

PACKAGES = ("batchd", "prefect", "fastapi", "sqlalchemy", "paramiko")
LEAST_FREE_BYTES = 1024**3
ANSWER_SECONDS = 5.0
CLOCK_SECONDS = 5.0


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    FIX = "FIX"


@dataclass(frozen=True, kw_only=True)
class Finding:
    topic: str
    verdict: Verdict
    text: str


Findings = Iterator[Finding]


def ok(topic: str, text: str) -> Finding:
    return Finding(topic=topic, verdict=Verdict.OK, text=text)


def fix(topic: str, text: str) -> Finding:
    return Finding(topic=topic, verdict=Verdict.FIX, text=text)


def note(topic: str, text: str) -> Finding:
    return Finding(topic=topic, verdict=Verdict.NOTE, text=text)


def versions() -> Findings:
    found = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    yield ok("versions", f"Python {platform.python_version()}, {found}")
    try:
        check_versions()
    except BrokenVersions as error:
        yield fix("versions", str(error))


def configuration(checked: Checked) -> Findings:
    where = checked.source or "no batchd.yaml: the defaults"
    if not checked.problems:
        yield ok("configuration", f"{where}; {len(checked.files)} files")
    for problem in checked.problems:
        yield (fix if problem in checked.errors else note)("configuration", str(problem))
    for change in unsaid(checked.source):
        yield note("changed", change.sentence)


def clock(settings: Settings, now: datetime) -> Findings:
    zone = settings.timezone
    local = now.astimezone(zone)
    if not zone.key or zone.key == "local":
        yield fix("clock", "the time zone has no name, which windows in Prefect need: set `timezone`")
        return
    yield ok("clock", f"{local:%Y-%m-%d %H:%M:%S} in {zone.key}")


def folders(settings: Settings) -> Findings:
    state = settings.state_directory
    try:
        mode = stat.S_IMODE(state.stat().st_mode)
        free = shutil.disk_usage(state).free
    except FileNotFoundError:
        yield ok("folders", f"{state} is made at the first start")
        return
    except OSError as error:
        yield fix("folders", f"{state} cannot be used: {error.strerror}; set state_directory, or its owner")
        return
    if mode & 0o077:
        yield fix("folders", f"{state} can be used by others (mode {mode:03o}): chmod 700 {state}")
    elif free < LEAST_FREE_BYTES:
        yield fix("folders", f"{state} has {free // 1024**2} MiB left: make room, or set state_directory")
    else:
        yield ok("folders", f"{state}, {free // 1024**3} GiB free")
    for root in settings.dispatcher.file_roots or ():
        if not root.is_dir():
            yield fix("folders", f"dispatcher.file_roots: there is no folder {root}")


def ports(settings: Settings) -> Findings:
    manager = settings.manager
    yield _port("ports", manager.host, manager.port, "manager.port", f"{_url(settings)}/health")
    if settings.prefect.api_url is None:
        health = f"http://127.0.0.1:{settings.prefect.port}/api/health"
        yield _port("ports", "127.0.0.1", settings.prefect.port, "prefect.port", health)


def _url(settings: Settings) -> str:
    host = settings.manager.host
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{reached}:{settings.manager.port}"


def _port(topic: str, host: str, port: int, key: str, health: str) -> Finding:
    if _answers(health) is not None:
        return ok(topic, f"{port} ({key}): the daemon answers")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            advice = f"end the program that has it, or set another {key}"
            return fix(topic, f"{port} ({key}) cannot be had on {host} ({error.strerror}): {advice}")
    return ok(topic, f"{port} ({key}): free")


def _answers(url: str) -> httpx.Response | None:
    try:
        with httpx.Client(trust_env=False, timeout=ANSWER_SECONDS) as client:
            answer = client.get(url)
    except httpx.HTTPError:
        return None
    return answer if answer.status_code == httpx.codes.OK else None


def database(settings: Settings, now: datetime) -> Findings:
    """Nothing is made or changed."""
    url = database_url(settings)
    file = url.removeprefix("sqlite:///")
    if url.startswith("sqlite") and not Path(file).exists():
        yield ok("database", f"{file or 'in memory'} is made at the first start")
        return
    opened = Database(url)
    try:
        refuse_originals(url)
        with opened.read() as connection:
            revision = current_revision(connection)
            times = connection.execute(select(func.now())).scalar_one() if not opened.is_sqlite else None
            is_current = revision == head_revision()
            seen = [_alive(connection, now), *_silent(connection, now)] if is_current else []
            users = [*_users(connection)] if is_current else []
        yield _revision(settings, revision)
        if isinstance(times, datetime) and abs((times - now).total_seconds()) > CLOCK_SECONDS:
            ahead = (times - now).total_seconds()
            yield fix("clock", f"the database's clock is {ahead:+.0f} s from this one's: set both by NTP")
        yield from (*seen, *users)
    except (StartupError, BatchdError) as error:
        yield fix("database", str(error))
    finally:
        opened.close()


def _revision(settings: Settings, revision: str | None) -> Finding:
    if revision == head_revision():
        return ok("database", f"{settings.driver}, revision {revision}")
    return note("database", f"revision {revision}: brought to {head_revision()} at the next start")


def _alive(connection: Connection, now: datetime) -> Finding:
    query = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(now))
    names = [row.name for row in connection.execute(query)]
    if names:
        return ok("dispatchers", f"alive: {', '.join(sorted(names))}")
    return note("dispatchers", "none is alive: no job starts until `batchd` or `batchd dispatcher` runs")


def _silent(connection: Connection, now: datetime) -> Findings:
    for one in silent_ones(connection, now):
        numbers = ", ".join(str(number) for number in one.job_ids)
        yield note(
            "dispatchers",
            f"{one.name} {last_seen(one.seen_at)}, and jobs of it have not ended ({numbers}): start it; "
            f"if its machine never returns: batchd-admin forget-dispatcher {one.name}",
        )


def _users(connection: Connection) -> Findings:
    """Those of queues; the ones of job types are looked at with their files."""
    query = select(queues.c.name, queues.c.run_as).where(queues.c.run_as.is_not(None))
    for name, run_as in connection.execute(query.order_by(queues.c.name)):
        try:
            usable_account(run_as)
            yield ok("run_as", f'jobs of the queue "{name}" run as {run_as}')
        except CannotRunAs as error:
            yield fix("run_as", f'the queue "{name}": {error}')


def prefect(settings: Settings) -> Findings:
    named = settings.prefect.api_url
    if named is None:
        answered = _answers(f"http://127.0.0.1:{settings.prefect.port}/api/health")
        text = "answers" if answered else "is not running: it starts with the daemon"
        yield ok("prefect", f"the embedded server {text}")
    elif _answers(f"{named.rstrip('/')}/health"):
        yield ok("prefect", f"{named} answers")
    else:
        yield fix("prefect", f"{named} does not answer: start it, or correct prefect.api_url")


def keys(hosts: Iterable[Host], settings: Settings) -> Findings:
    files = [settings.state_directory / KNOWN_HOSTS_FILE, Path("~/.ssh/known_hosts").expanduser()]
    for host in hosts:
        yield from _key(host)
        if known_keys((*files, Path("/etc/ssh/ssh_known_hosts")), host.host_name, host.port):
            yield ok("ssh", f"host {host.name}: its host key is known")
        elif host.host_key_policy == "strict":
            advice = f"compare it and run: batchd-admin trust-host {host.name}"
            yield fix("ssh", f"host {host.name}: its host key is not known; {advice}")


def _key(host: Host) -> Findings:
    named = [Path(host.private_key)] if host.private_key else [Path(name) for name in USUAL_KEYS]
    there = [path for path in named if host.private_key or path.expanduser().is_file()]
    if not there:
        yield note(
            "ssh", f"host {host.name}: none of {', '.join(USUAL_KEYS)} is there; only an agent's key is"
        )
    for path in there:
        try:
            read_key(path, host.passphrase)
        except KeyUnusable as error:
            yield fix("ssh", f"host {host.name}: {error}")
            continue
        if stat.S_IMODE(path.expanduser().stat().st_mode) & 0o077:
            yield fix("ssh", f"host {host.name}: {path} can be read by others: chmod 600 {path}")
        else:
            yield ok("ssh", f"host {host.name}: {path} can be used")


def controllers(checked: Checked) -> Findings:
    """Asks each for the state of its hosts, all at once and not for long."""
    asked = [
        (host, checked.controllers.of(host))
        for host in checked.hosts
        if host.controller != LOCAL_CONTROLLER and host.controller in checked.controllers
    ]
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as threads:
        answers = [(host, threads.submit(_status, host, controller)) for host, controller in asked]
        for host, answer in answers:
            try:
                yield answer.result(timeout=ANSWER_SECONDS * 4)
            except TooLate:
                yield fix("controllers", f"host {host.name}: {host.controller} does not answer")
        checked.controllers.close()


def _status(host: Host, controller: Controller) -> Finding:
    try:
        return ok("controllers", f"host {host.name} is {controller.status(host)} ({host.controller})")
    except InfraError as error:
        return fix("controllers", f"host {host.name}: {error}")


def everything(checked: Checked, now: datetime) -> Findings:
    """All topics, as they are looked at."""
    yield from versions()
    yield from configuration(checked)
    settings = checked.settings
    if settings is not None:
        yield from clock(settings, now)
        yield from folders(settings)
        yield from ports(settings)
        yield from database(settings, now)
        yield from prefect(settings)
        yield from keys(checked.hosts, settings)
    yield from controllers(checked)
