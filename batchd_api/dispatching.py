"""The dispatcher and the mirror, put together from the parts: what runs jobs and shows them in Prefect."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from batchd_api.artifact_books import ArtifactBooks
from batchd_api.attempt_orders import AttemptOrders
from batchd_api.books import Books
from batchd_api.db.job_counts import gather
from batchd_api.dispatch_counts import DispatchCounts
from batchd_api.dispatcher import Dispatcher
from batchd_api.forms import Forms
from batchd_api.hands import Hands
from batchd_api.heartbeat import Heartbeat
from batchd_api.host_desk import HostDesk
from batchd_api.host_leftovers import HostLeftovers
from batchd_api.hosting import HostPace, Wakers, build_hosting, host_views
from batchd_api.launches import Launches, LaunchSettings
from batchd_api.mirror import Mirror
from batchd_api.notifier import Notifier
from batchd_api.outbox import Outbox
from batchd_api.page_url import page_url
from batchd_api.parts import Parts
from batchd_api.planner_lease import PlannerLease
from batchd_api.planning import ALONE_SECONDS, Planning
from batchd_api.pool_runs import PoolRuns
from batchd_api.pools import Pools
from batchd_api.prefect_words import PrefectWords
from batchd_api.progress_notes import ProgressNotes
from batchd_api.recorder import Recorder
from batchd_api.retention import Retention, living_folders, remove_leftovers
from batchd_api.run_artifacts import RunArtifacts
from batchd_api.settings_records import JobEnvironment
from batchd_api.startup import dispatcher_name
from batchd_api.watch import Watch
from batchd_api.window_mirror import QueueWindows, WindowMirror
from batchd_api.world import WorldStore
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_artifacts import Artifacts

log = logging.getLogger("batchd")

ATTEMPTS_FOLDER = "attempts"
TIDY_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Dispatching:
    """The parts that run jobs and show them in Prefect."""

    dispatcher: Dispatcher
    mirror: Mirror
    watch: Watch
    desk: HostDesk | None = None
    notifier: Notifier | None = None
    leftovers: HostLeftovers | None = None

    def start(self) -> list[asyncio.Task[object]]:
        desk = [asyncio.create_task(self.desk.run(), name="hosts")] if self.desk else []
        leftovers = (
            [asyncio.create_task(self.leftovers.run(), name="leftovers on hosts")] if self.leftovers else []
        )
        notifier = [asyncio.create_task(self.notifier.run(), name="notifier")] if self.notifier else []
        return [
            *desk,
            *notifier,
            *leftovers,
            asyncio.create_task(self.mirror.run(), name="mirror"),
            asyncio.create_task(self.watch.notice(), name="watch"),
            asyncio.create_task(self.dispatcher.run(), name="dispatcher"),
        ]


def utc_now() -> datetime:
    return datetime.now(UTC)


def build_dispatching(
    parts: Parts,
    orchestrator: Orchestrator,
    *,
    clock: Callable[[], datetime] = utc_now,
    host_pace: HostPace | None = None,
) -> Dispatching:
    """Nothing starts yet."""
    settings, database = parts.settings, parts.database
    name = dispatcher_name(settings.state_directory)
    words = PrefectWords(
        parts.job_types,
        installation_id=parts.installation_id,
        workers=settings.dispatcher.workers,
        variables=settings.variables,
    )
    books = Books(database, name, ahead=settings.prefect.mirror_ahead)
    hands = Hands(database)
    lease = PlannerLease(database, name)
    pools = Pools(books, hands, orchestrator, words, worker_name=name)
    forms = Forms(
        database,
        orchestrator,
        parts.job_types,
        installation_id=parts.installation_id,
        variables=settings.variables,
        user=settings.prefect.user,
        clock=clock,
    )
    dispatcher: Dispatcher
    watch = Watch(
        books, hands, orchestrator, forms, pools, wake=lambda: dispatcher.wake_mirror(), clock=clock
    )
    windows = WindowMirror(
        QueueWindows(database).all, orchestrator, settings.timezone, worker_name=name, clock=clock
    )
    mirror = Mirror(
        books,
        orchestrator,
        words,
        pools,
        watch,
        windows,
        log_limit_bytes=settings.prefect.log_limit_bytes,
        artifacts=RunArtifacts(
            ArtifactBooks(database), Artifacts(orchestrator), page_url=page_url(settings), clock=clock
        ),
        changed=lambda: dispatcher.wake(),
        leads=lambda: lease.holds,
    )
    targets = settings.notify.targets
    outbox = Outbox(database, parts.job_types, tuple(targets), page_url(settings))
    recorder, wakers = Recorder(database, outbox), Wakers()
    launches = Launches(database, parts.job_types, _launch_settings(parts), parts.hosts)
    hosting = build_hosting(
        parts,
        name,
        launches,
        recorder,
        wakers=wakers,
        said=mirror.output_added,
        clock=clock,
        leads=lambda: lease.holds,
        pace=host_pace,
    )
    counts = DispatchCounts(name)
    planning = Planning(
        WorldStore(
            database,
            parts.job_types,
            host_views(parts.hosts, parts.controllers),
            settings.timezone,
            may_write=lease.is_held_in,
        ),
        lease,
        counts=counts,
        prefect_down=lambda: mirror.reach.down,
        poll_timeout_seconds=_poll_timeout_seconds(parts),
        clock=clock,
    )
    dispatcher = Dispatcher(
        name,
        database=database,
        planning=planning,
        recorder=recorder,
        launches=launches,
        mirror=mirror,
        hosts=hosting.side,
        heartbeat=Heartbeat(
            database,
            name,
            mirror.reach,
            workers=settings.dispatcher.workers,
            queues=settings.dispatcher.queues,
            clock=clock,
        ),
        counts=counts,
        clock=clock,
        pool_runs=PoolRuns(
            orchestrator,
            AttemptOrders(database=database, launches=launches),
            recorder,
            installation_id=parts.installation_id,
            manager_url=page_url(settings),
        ),
        progress=ProgressNotes(database, parts.job_types),
    )
    wakers.dispatcher = dispatcher.wake
    return Dispatching(
        dispatcher=dispatcher,
        mirror=mirror,
        watch=watch,
        desk=hosting.desk,
        leftovers=hosting.leftovers,
        notifier=Notifier(outbox, targets, clock=clock) if targets else None,
    )


def _poll_timeout_seconds(parts: Parts) -> float:
    """Nobody wakes a dispatcher whose manager is another process: it looks every second by itself."""
    seconds = parts.settings.dispatcher.poll_timeout_seconds
    return seconds if parts.serves else min(seconds, ALONE_SECONDS)


async def tidy_for_ever(parts: Parts, leads: Callable[[], bool]) -> None:
    """`leads`: one dispatcher removes rows for all; each its own folders."""
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        try:
            await asyncio.to_thread(tidy_up, parts, datetime.now(UTC), sweeps=leads())
        except Exception:
            log.exception("tidying up stumbled; it is tried again")


def tidy_up(parts: Parts, now: datetime, *, sweeps: bool = True) -> None:
    """Remove what has outlived `storage.done_jobs`, a little at a time, so that nobody waits for it."""
    retention = Retention(parts.database, parts.settings.storage.done_jobs_days)
    while sweeps and retention.sweep(now):
        pass
    while sweeps and retention.shrink():
        pass
    if sweeps:
        with parts.database.write() as connection:
            gather(connection)
    folder = parts.settings.state_directory / ATTEMPTS_FOLDER
    remove_leftovers(folder, partial(living_folders, parts.database))


def _launch_settings(parts: Parts) -> LaunchSettings:
    settings = parts.settings
    folder = settings.state_directory / ATTEMPTS_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return LaunchSettings(
        zone=settings.timezone,
        attempts_folder=folder,
        variables=settings.variables,
        default_syntax=settings.default_template_syntax,
        environment=dict(os.environ),
        clean_environment=settings.dispatcher.environment is JobEnvironment.CLEAN,
        auth_disabled=settings.manager.auth.disabled,
        output_limit_bytes=settings.dispatcher.output_limit_bytes,
        free_bytes=lambda: shutil.disk_usage(folder).free,
        file_roots=parts.file_roots,
    )
