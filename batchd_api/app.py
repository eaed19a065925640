"""The composition root: makes every part from the settings, runs them in one process, stops them in order."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from batchd_api import logs
from batchd_api.changes import unsaid
from batchd_api.controller_blocks import controllers_shown
from batchd_api.db.session import Database
from batchd_api.db.upgrade import upgrade
from batchd_api.dependencies import Services
from batchd_api.dispatcher import Dispatcher
from batchd_api.dispatching import build_dispatching, tidy_for_ever
from batchd_api.errors import BatchdError, StartupError
from batchd_api.facade import FacadeParts, create_facade
from batchd_api.file_access import file_roots
from batchd_api.metric_keeping import MetricKeeper
from batchd_api.nudge import Nudge
from batchd_api.old_database import refuse_originals
from batchd_api.options import FacadeOptions
from batchd_api.outbox import Outbox
from batchd_api.page_url import page_url
from batchd_api.parts import Parts
from batchd_api.retention import MetricRetention
from batchd_api.services.health import NOT_EMBEDDED, ServerState
from batchd_api.services.installation import ensure_first_rows
from batchd_api.settings import database_url
from batchd_api.settings_records import DaemonMode, ScrapeAccess, Settings
from batchd_api.slow_clients import TimelyProtocol
from batchd_api.startup import (
    AUTH_FILE,
    STOPS,
    dispatcher_name,
    has_embedded_server,
    mode_of,
    prefect_login,
    prepare_state_directory,
    read_settings,
    server_settings,
)
from batchd_api.state_lock import only_one
from batchd_flows.command_lines import TemplateError, check_template
from batchd_flows.job_types import JobType, JobTypes, load_job_types
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.server import EmbeddedServer, ServerDidNotStart, ServerError
from batchd_infra.config_files import ConfigError, config_folders
from batchd_infra.controllers import Controllers, check_hosts, load_controllers
from batchd_infra.hosts import Hosts, load_hosts

log = logging.getLogger("batchd")

REFUSED = 2
SERVER_LOOK_SECONDS = 5.0
FACADE_STOP_SECONDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="batchd")
    parser.add_argument("--mode")
    parser.add_argument("--config", type=Path)
    arguments = parser.parse_args()
    try:
        with opened(arguments.config, arguments.mode) as parts:
            asyncio.run(run(parts))
    except* (BatchdError, ServerError) as refused:
        for error in refused.exceptions:
            print(f"batchd: {error}", file=sys.stderr)
        sys.exit(REFUSED)


@contextlib.contextmanager
def opened(config: Path | None, mode: str | None) -> Iterator[Parts]:
    """Read the configuration and open the database. Raises StartupError, before anything has started."""
    loaded = read_settings(config, os.environ)
    settings = loaded.settings
    logs.configure(settings.logging)
    for problem in loaded.problems:
        log.warning("%s", problem)
    if changed := ", ".join(change.key for change in unsaid(loaded.source)):
        log.info("not as in the original, on purpose: %s; `batchd doctor` says how it comes back", changed)
    folders = config_folders(config, os.environ)
    prepare_state_directory(settings)
    chosen = mode_of(settings, mode)
    with (
        only_one(settings.state_directory, chosen),
        _no_server_left(settings) if has_embedded_server(settings, mode) else contextlib.nullcontext(),
        _database(settings) as database,
    ):
        upgrade(database)
        with database.write() as connection:
            installation_id = ensure_first_rows(connection, datetime.now(UTC))
        job_types, hosts = read_types_and_hosts(folders, settings)
        controllers = read_controllers(folders, hosts)
        yield Parts(
            settings=settings,
            mode=chosen,
            database=database,
            job_types=job_types,
            hosts=hosts,
            installation_id=installation_id,
            controllers=controllers,
            file_roots=file_roots(settings, hosts, config, os.environ),
        )


@contextlib.contextmanager
def _no_server_left(settings: Settings) -> Iterator[None]:
    """It began before us (`daemon.begin_server`), and signals have waited since: they find us here."""
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        yield
    finally:
        asyncio.run(EmbeddedServer(server_settings(settings)).stop())


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    try:
        url = database_url(settings)
    except ValueError as error:
        raise StartupError(str(error)) from error
    refuse_originals(url)
    database = Database(url, pool_size=settings.connection_pool_size)
    try:
        yield database
    finally:
        database.close()


def read_types_and_hosts(folders: tuple[Path, ...], settings: Settings) -> tuple[JobTypes, Hosts]:
    """Load what the folders define; a bad file is said in the log, the others count."""
    job_types, problems = load_job_types(folders)
    hosts, host_problems = load_hosts(folders)
    for problem in (*problems, *host_problems):
        log.log(logging.ERROR if isinstance(problem, ConfigError) else logging.WARNING, "%s", problem)
    variables = {*settings.variables, *(name for host in hosts for name in host.variables)}
    broken = [job_type.name for job_type in job_types if not _is_sound(job_type, settings, variables)]
    return job_types.without(broken), hosts


def read_controllers(folders: tuple[Path, ...], hosts: Hosts) -> Controllers:
    """A bad file is said in the log; the hosts of its controller then have failed, the others count."""
    controllers, problems = load_controllers(folders)
    for problem in (*problems, *check_hosts(hosts, controllers)):
        log.log(logging.ERROR if isinstance(problem, ConfigError) else logging.WARNING, "%s", problem)
    return controllers


def _is_sound(job_type: JobType, settings: Settings, variables: set[str]) -> bool:
    try:
        check_template(job_type, settings.default_template_syntax, variables=variables)
    except TemplateError as error:
        log.error("%s: %s", job_type.source or "built in", error)  # noqa: TRY400  its sentence says it whole
        return False
    return True


async def run(parts: Parts) -> None:
    """Everything, from started to stopped. Jobs that run go on under their supervisors."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(_stopped_together())
        dispatcher = await _dispatcher(parts, stack, tasks) if parts.dispatches else None
        if parts.serves:
            await _serve(parts, tasks, dispatcher.wake if dispatcher else lambda: None)
        tasks.append(asyncio.create_task(stop.wait(), name="stop"))
        _announce(parts)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


@contextlib.asynccontextmanager
async def _stopped_together() -> AsyncIterator[list[asyncio.Task[object]]]:
    tasks: list[asyncio.Task[object]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(parts: Parts, tasks: list[asyncio.Task[object]], wake: Callable[[], None]) -> None:
    """The facade; it answers before Prefect does. The embedded server is the manager's child."""
    settings = parts.settings
    prefect = ServerState()
    facade = create_facade(
        FacadeParts(
            options=facade_options(settings, parts.mode),
            database=parts.database,
            job_types=parts.job_types,
            hosts=parts.hosts,
            clock=lambda: datetime.now(UTC),
            changed=Nudge(wake),
            variables=settings.variables,
            file_roots=parts.file_roots,
            outbox=Outbox(
                parts.database, parts.job_types, tuple(settings.notify.targets), page_url(settings)
            ),
            prefect_state=prefect.sentence if settings.prefect.api_url is None else lambda: NOT_EMBEDDED,
        )
    )
    listener = _listener(settings.manager.host, settings.manager.port)
    config = uvicorn.Config(
        facade,
        http=TimelyProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=FACADE_STOP_SECONDS,
    )
    tasks.append(asyncio.create_task(_serve_until_cancelled(_Uvicorn(config), listener), name="facade"))
    tasks.append(asyncio.create_task(_metric_keeper(facade, settings).run(), name="metrics"))
    if settings.prefect.api_url is None:
        tasks.append(
            asyncio.create_task(
                _keep_server(EmbeddedServer(server_settings(settings)), prefect), name="prefect"
            )
        )


def _metric_keeper(facade: FastAPI, settings: Settings) -> MetricKeeper:
    services: Services = facade.state.services
    return MetricKeeper(
        metrics=services.metrics,
        history=services.metric_history,
        retention=MetricRetention(services.metrics.ground.database, settings.storage.metric_records_days),
        dump_seconds=settings.metrics.dump_timeout_seconds,
        prefix=settings.metrics.store_prefix_only,
    )


class _Uvicorn(uvicorn.Server):
    """Signals are the composition root's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve_until_cancelled(server: uvicorn.Server, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def _keep_server(server: EmbeddedServer, state: ServerState) -> None:
    """Start it, start it again when it dies or hangs, stop it at the end."""
    try:
        await _first_start(server, state)
        state.note(True)
        log.info("Prefect answers at %s", server.ui_url)
        while True:
            await asyncio.sleep(SERVER_LOOK_SECONDS)
            try:
                if await server.ensure_running():
                    log.info("the embedded Prefect server was started again")
                state.note(server.answered)
            except ServerError:
                state.note(False)
                log.exception("the embedded Prefect server cannot be started; trying again")
    finally:
        await server.stop()


async def _first_start(server: EmbeddedServer, state: ServerState) -> None:
    """Only a stranger on its port ends the daemon; a server that dies on its way up is started again."""
    while True:
        try:
            await server.start()
        except ServerDidNotStart:
            state.failed_to_start()
            log.exception("the embedded Prefect server did not start; trying again")
            await asyncio.sleep(SERVER_LOOK_SECONDS)
        else:
            return


async def _dispatcher(
    parts: Parts, stack: contextlib.AsyncExitStack, tasks: list[asyncio.Task[object]]
) -> Dispatcher:
    settings = parts.settings
    orchestrator = await stack.enter_async_context(Orchestrator(*prefect_login(settings)))
    writer = dispatcher_name(settings.state_directory)
    await stack.enter_async_context(controllers_shown(orchestrator, parts.controllers, writer))
    dispatching = build_dispatching(parts, orchestrator)
    tasks.extend(dispatching.start())
    tasks.append(
        asyncio.create_task(tidy_for_ever(parts, lambda: dispatching.dispatcher.leads), name="retention")
    )
    return dispatching.dispatcher


def facade_options(settings: Settings, mode: DaemonMode) -> FacadeOptions:
    manager = settings.manager
    return FacadeOptions(
        auth_disabled=manager.auth.disabled,
        basic=manager.auth.basic,
        header=manager.auth.header,
        static_salt=manager.auth.static_salt.get_secret_value() if manager.auth.static_salt else None,
        allowed_origins=manager.web_client.allowed_origins,
        allowed_hosts=manager.allowed_hosts or (),
        trusted_proxies=tuple(str(network) for network in manager.trusted_proxies),
        timezone=settings.timezone,
        static_path=manager.web_client.path,
        prefect_ui_url=_prefect_ui_url(settings),
        default_syntax=settings.default_template_syntax,
        daemon=mode.value,
        memory_metrics=settings.metrics.gc_metrics,
        http_metrics=settings.metrics.http_metrics,
        prometheus_open=settings.metrics.prometheus is ScrapeAccess.OPEN,
        notify_targets=tuple(settings.notify.targets),
    )


def _prefect_ui_url(settings: Settings) -> str:
    api_url = settings.prefect.api_url or server_settings(settings).api_url
    return api_url.rstrip("/").removesuffix("/api")


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket without its protocol's number asyncio does not know that it is TCP, and leaves Nagle's
    # algorithm on: an answer's body would wait 40 ms for the client to confirm the head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"The manager cannot listen on {host} port {port} ({error.strerror}): "
            "end the program that does, or set another manager.port."
        ) from error
    return listener


def _announce(parts: Parts) -> None:
    """Where to find what has started, for whoever sits in front of it."""
    settings = parts.settings
    if parts.serves:
        print(f"batchd: REST on http://{settings.manager.host}:{settings.manager.port}", flush=True)
    if parts.serves and settings.prefect.api_url is None:
        where = settings.state_directory / AUTH_FILE
        print(
            f"batchd: the Prefect UI on {server_settings(settings).origin}, in 10 to 20 seconds; "
            f"it asks once for the line in {where}",
            flush=True,
        )


if __name__ == "__main__":
    main()
