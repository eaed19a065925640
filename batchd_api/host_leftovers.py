"""What attempts that have ended left on their hosts: after a crash or a lost connection it is still there.

A folder goes only when no attempt can use it any more: its number is used up and that attempt has ended, or
its job is gone. Numbers of attempts only grow, so this stays true while it is removed. What another
installation put there has other names.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import select

from batchd_api.db.session import Database
from batchd_api.db.tables import attempts, jobs
from batchd_api.machines import Machines, Site
from batchd_api.statuses import AttemptState
from batchd_api.stored import stored
from batchd_flows.job_files import own_folders
from batchd_flows.limits import KILL_AFTER_SECONDS
from batchd_flows.patience import ask
from batchd_flows.supervisor import MachineUnreachable, SupervisorError
from batchd_infra.errors import InfraError
from batchd_infra.host_ledger import HostLedger, HostPhase
from batchd_infra.hosts import Hosts

log = logging.getLogger("batchd.hosts")

SWEEP_SECONDS = 60.0
_ATTEMPT = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})")


class HostLeftovers:
    """Runs in the event loop. Only hosts that are ready are looked at: none is woken for this.

    `leads`: one dispatcher does it for all.
    """

    def __init__(
        self,
        database: Database,
        machines: Machines,
        hosts: Hosts,
        ledger: HostLedger,
        *,
        leads: Callable[[], bool],
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._database = database
        self._machines = machines
        self._hosts = hosts
        self._ledger = ledger
        self._leads = leads
        self._sweep_seconds = sweep_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._sweep_seconds)
            try:
                if self._leads():
                    ready = await stored(self._ready)
                    await asyncio.gather(*(self._sweep_carefully(name) for name in ready))
            except Exception:
                log.exception("the look for leftovers on hosts stumbled; it goes on")

    def _ready(self) -> list[str]:
        entries = self._ledger.entries().values()
        return [e.name for e in entries if e.phase is HostPhase.READY and e.name in self._hosts]

    async def _sweep_carefully(self, host_name: str) -> None:
        try:
            await self._sweep(await stored(self._machines.site, host_name))
        except (SupervisorError, InfraError) as error:
            log.warning("leftovers on host %s stay for now: %s", host_name, error)

    async def _sweep(self, site: Site) -> None:
        machine = site.machine
        names = set(await ask(machine, machine.attempts))
        copies = await ask(machine, self._folders_of_files, site)
        over = await stored(self._over, names | copies.keys())
        for name in sorted(over):
            if name in names and not await self._remove(site, name):
                continue  # what still runs may use its files
            for folder in copies.get(name, ()):
                await ask(machine, site.transfer.remove_tree, folder)

    def _folders_of_files(self, site: Site) -> dict[str, list[str]]:
        """By the attempt that they were made for."""
        found: dict[str, list[str]] = {}
        prefix = self._machines.own_folder("")
        for pattern in own_folders(site.host.input_directory, site.host.output_directory, f"{prefix}*"):
            for folder in site.transfer.glob(pattern):
                found.setdefault(folder.rpartition(prefix)[2], []).append(folder)
        return found

    def _over(self, names: Iterable[str]) -> set[str]:
        """Those that no attempt uses, or ever will."""
        parsed = {name: found.groups() for name in names if (found := _ATTEMPT.fullmatch(name))}
        numbered = {name: (int(job_id), int(number)) for name, (job_id, number) in parsed.items()}
        ids = {job_id for job_id, _ in numbered.values()}
        with self._database.read() as connection:
            alive = select(attempts.c.job_id, attempts.c.number).where(
                attempts.c.job_id.in_(ids), attempts.c.state != AttemptState.ENDED
            )
            living = {(job_id, number) for job_id, number in connection.execute(alive)}
            query = select(jobs.c.id, jobs.c.attempt).where(jobs.c.id.in_(ids))
            latest = {row.id: row.attempt for row in connection.execute(query)}
        return {
            name
            for name, (job_id, number) in numbered.items()
            if (job_id, number) not in living and number <= latest.get(job_id, number)
        }

    async def _remove(self, site: Site, name: str) -> bool:
        """Of a command that still runs, only its end is asked for: the next look removes it."""
        machine, folder = site.machine, Path(name)
        try:
            await ask(machine, machine.remove, folder)
        except MachineUnreachable:
            raise
        except SupervisorError as error:
            log.warning("host %s: what attempt %s left there is ended: %s", site.host.name, name, error)
            await ask(machine, machine.cancel, folder, grace_seconds=KILL_AFTER_SECONDS)
            return False
        log.info("host %s: what attempt %s left there is removed", site.host.name, name)
        return True
