"""What a job on a host needs besides a machine: that the host is ready, and files there and back.

Files are copied in threads of their own and few at a time on a host: neither the looks at other jobs nor the
database wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from batchd_api.errors import BatchdError
from batchd_api.launches import CannotLaunch, Launches, There
from batchd_api.machines import Machines, Site
from batchd_api.recorder import Attempt, Recorder
from batchd_api.stored import stored
from batchd_flows.file_copies import RETRY_SECONDS, CopyFailed, CopyStopped, FileCopies
from batchd_flows.job_files import JobFiles, own_folders
from batchd_flows.patience import LOST_AFTER_SECONDS, MachineLost, Patience, ask
from batchd_flows.run import Outcome
from batchd_flows.supervisor import Launch, MachineRefused, MachineUnreachable, RunState, SupervisorError
from batchd_infra.errors import InfraError
from batchd_infra.file_roots import FileRoots
from batchd_infra.host_ledger import HostEntry, HostLedger, HostPhase
from batchd_infra.hosts import Hosts
from batchd_infra.ssh_errors import SshError

log = logging.getLogger("batchd.dispatcher")

COPIES_ON_A_HOST = 4  # a connection holds nine sessions, and the looks at its jobs need some
COPIES = 16
OUTPUT_RETRY_SECONDS = (
    *RETRY_SECONDS,
    60.0,
    120.0,
    300.0,
)  # the command has run; its result is worth waiting
LOOK_SECONDS = 0.5

T = TypeVar("T")


class HostNotReady(BatchdError):
    """Host {name} is not ready (any more): the job waits for it."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """How an attempt ended, its files included. `kept`: nothing of it may be done again."""

    outcome: Outcome
    kept: bool = False


class HostSide:
    """Runs in the event loop. `said` is called there whenever an attempt's output has a new line.

    `wanted` wakes the care for hosts: a job has been called, or has ended.
    """

    def __init__(
        self,
        machines: Machines,
        hosts: Hosts,
        ledger: HostLedger,
        launches: Launches,
        recorder: Recorder,
        *,
        roots: FileRoots,
        staging: Path,
        clock: Callable[[], datetime],
        said: Callable[[int], None],
        wanted: Callable[[], None] = lambda: None,
        retry_seconds: tuple[float, ...] | None = None,
    ) -> None:
        self.machines = machines
        self._hosts = hosts
        self._ledger = ledger
        self._launches = launches
        self._recorder = recorder
        self._roots = roots
        self._staging = staging
        self._clock = clock
        self._said = said
        self.wanted = wanted
        self._retry_seconds = retry_seconds
        self._threads = ThreadPoolExecutor(COPIES, thread_name_prefix="copies")
        self._turns: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(COPIES_ON_A_HOST))
        self._stops: dict[int, threading.Event] = {}

    def lost_after_seconds(self, attempt: Attempt) -> float:
        """How long its host may be out of reach before nobody waits for the attempt any more."""
        if attempt.host_name is None or attempt.host_name not in self._hosts:
            return LOST_AFTER_SECONDS
        return self._hosts.get(attempt.host_name).lost_after_seconds

    def stop_copying(self, attempt: Attempt) -> bool:
        """Its job was cancelled. False: nothing is being copied."""
        stop = self._stops.get(attempt.id)
        if stop is not None:
            stop.set()
        return stop is not None

    def close(self) -> None:
        for stop in self._stops.values():
            stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.machines.close()

    # Before

    async def launch(self, attempt: Attempt, host_name: str, grace_seconds: float) -> Launch:
        """All is there that the command needs. Raises CannotLaunch, HostNotReady."""
        site = await self._site(host_name)
        await self._require_ready(attempt, host_name)
        try:
            await self._end_older(attempt, site, grace_seconds)
            files = await self._files(attempt, site)
            environment = await ask(site.machine, site.machine.environment)
            await self._send(attempt, site, files)
        except MachineRefused as error:
            raise CannotLaunch(str(error)) from error
        except MachineUnreachable as error:
            log.warning("%s", error)
            await stored(self._report_unreachable, host_name)
            raise HostNotReady(host_name) from error
        there = There(host=site.host, environment=environment, files=files)
        return await stored(self._launches.launch, attempt, there)

    async def _site(self, host_name: str) -> Site:
        try:
            return await stored(self.machines.site, host_name)
        except InfraError as error:
            raise CannotLaunch(str(error)) from error

    async def _require_ready(self, attempt: Attempt, host_name: str) -> None:
        entry = await stored(self.machines.entry, host_name)
        if entry.phase is not HostPhase.READY:
            raise HostNotReady(host_name)
        if entry.fault:
            if entry.fault_output:
                await stored(self._recorder.note, attempt, entry.fault_output, self._clock())
            raise CannotLaunch(entry.fault)

    def _report_unreachable(self, host_name: str) -> None:
        """It is got ready anew: a machine that has gone off is started, one that is lost is tried again."""

        def change(known: HostEntry) -> HostEntry:
            is_ready = known.phase is HostPhase.READY
            return known.entered(HostPhase.OFF, self._clock()) if is_ready else known

        self._ledger.write(host_name, change)

    async def _end_older(self, attempt: Attempt, site: Site, grace_seconds: float) -> None:
        """No job twice at once: what an earlier attempt that was given up has left there is ended first."""
        machine = site.machine
        for number in await stored(self._recorder.unknown_ends, attempt):
            folder = Path(f"{attempt.job_id}.{number}")
            while (await ask(machine, machine.status, folder)).state is not RunState.ABSENT:
                if await ask(machine, machine.gone, folder):
                    with suppress(SupervisorError):  # it is looked at again
                        await ask(machine, machine.remove, folder)
                    continue
                log.warning("an earlier attempt of job %d still lives on %s", attempt.job_id, site.host.name)
                await ask(machine, machine.cancel, folder, grace_seconds=grace_seconds)
                await asyncio.sleep(LOOK_SECONDS)

    async def _files(self, attempt: Attempt, site: Site) -> JobFiles:
        directories = [site.host.input_directory, site.host.output_directory]
        absolute = [await ask(site.machine, site.machine.absolute, path) for path in directories]
        return await stored(
            self._launches.files,
            attempt,
            input_directory=absolute[0],
            output_directory=absolute[1],
            own_folder=self.machines.own_folder(attempt.folder_name),
        )

    async def _send(self, attempt: Attempt, site: Site, files: JobFiles) -> None:
        if not files:
            return
        try:
            await self._copy(attempt, site, lambda copies: copies.send(files), RETRY_SECONDS)
        except (CopyFailed, CopyStopped) as error:
            await self.clean(attempt)
            raise CannotLaunch(f"input transfer: {error}") from error

    # After

    async def fetch(self, attempt: Attempt, outcome: Outcome) -> Fetched:
        """Bring the output files of a command that went well. Its exit code stays, whatever comes of them."""
        if attempt.host_name is None or not outcome.succeeded:
            return Fetched(outcome=outcome)
        try:
            site = await self._site(attempt.host_name)
            patience = Patience(site.machine, lost_after_seconds=site.host.lost_after_seconds)
            await patience.reach(site.machine.absolute, site.host.output_directory)
            files = await self._files(attempt, site)
            if files.outputs:
                await self._copy(attempt, site, lambda copies: copies.fetch(files), OUTPUT_RETRY_SECONDS)
        except (CopyFailed, CopyStopped, CannotLaunch, MachineLost, SupervisorError) as error:
            return Fetched(outcome=replace(outcome, reason=f"output transfer: {error}"), kept=True)
        return Fetched(outcome=outcome)

    async def clean(self, attempt: Attempt) -> None:
        """Remove the job's files from its host, as far as it is in reach: nobody waits for that."""
        if attempt.host_name is None or not await stored(self._launches.may_have_files, attempt):
            return
        try:
            site = await self._site(attempt.host_name)
            own = self.machines.own_folder(attempt.folder_name)
            folders = own_folders(site.host.input_directory, site.host.output_directory, own)
            for folder in folders:
                await self._in_a_thread(site.transfer.remove_tree, folder)
        except (CannotLaunch, SshError) as error:
            log.warning("files of job %d stay on %s: %s", attempt.job_id, attempt.host_name, error)

    async def _copy(
        self,
        attempt: Attempt,
        site: Site,
        work: Callable[[FileCopies], None],
        retry_seconds: tuple[float, ...],
    ) -> None:
        stop = self._stops[attempt.id] = threading.Event()
        loop = asyncio.get_running_loop()

        def say(line: str) -> None:
            try:
                self._recorder.note(attempt, line, self._clock())
            except BatchdError as error:
                log.warning("job %d: %s (%s)", attempt.job_id, line, error)
            else:
                with suppress(RuntimeError):  # the loop is closed: we are stopping
                    loop.call_soon_threadsafe(self._said, attempt.id)

        copies = FileCopies(
            transfer=site.transfer,
            host_name=site.host.name,
            roots=self._roots,
            staging=self._staging,
            say=say,
            checksum=site.host.checksum,
            stop=stop,
            retry_seconds=self._retry_seconds or retry_seconds,
        )
        try:
            async with self._turns[site.host.name]:
                await self._in_a_thread(work, copies)
        finally:
            stop.set()  # where we were cancelled ourselves, the thread ends too
            self._stops.pop(attempt.id, None)

    async def _in_a_thread(self, work: Callable[[T], None], given: T) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work, given)
