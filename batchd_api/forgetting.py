"""A dispatcher whose machine never returns is given up: its jobs have an unknown end, its slots are free.

Only people can know that it never returns. Should it do so nonetheless, what it reports of those jobs is
refused (the attempts have ended), and it ends what still runs of them. Blocking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from batchd_api.alive import DISPATCHER_ALIVE_SECONDS, alive_since
from batchd_api.db.host_tables import hosts
from batchd_api.db.session import Database
from batchd_api.db.tables import IS_ALIVE, attempts, dispatchers, jobs
from batchd_api.errors import Invalid
from batchd_api.outbox import Outbox
from batchd_api.recorder import Attempt, OldToken, Recorder
from batchd_flows.job_types import JobTypes, OnFail, RetryWhen
from batchd_flows.run import Outcome


class DispatcherLives(Invalid):
    """{message}"""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A job of it, and what its type says about failures. `type_name` None: the job was deleted."""

    attempt: Attempt
    type_name: str | None
    on_fail: OnFail
    has_tries: bool = False
    is_cancelled: bool = False

    @property
    def is_tried_again(self) -> bool:
        return self.on_fail.when is not None and self.has_tries and not self.is_cancelled

    @property
    def sentence(self) -> str:
        return f"job {self.attempt.job_id} ({self.type_name or 'deleted'}{self._place}): {self._fate}"

    @property
    def _place(self) -> str:
        return "" if self.attempt.host_name is None else f" on host {self.attempt.host_name}"

    @property
    def _fate(self) -> str:
        if self.type_name is None:
            return "gone"
        if self.is_cancelled:
            return "Failed, cancelled"
        if not self.is_tried_again:
            return "Failed, outcome unknown"
        place = "at the end of its queue" if self.on_fail.when is RetryWhen.LATER else "at its place"
        return f"New again {place}, as its type's on_fail says"


@dataclass(frozen=True, kw_only=True)
class Estate:
    """What there is to be given up. `seen_at` None: it never was alive, or was forgotten before."""

    name: str
    seen_at: datetime | None
    unfinished: tuple[Unfinished, ...]
    hosts: tuple[str, ...]

    def sentences(self) -> Iterator[str]:
        yield (
            f"The dispatcher {self.name} {last_seen(self.seen_at)}; "
            f"{len(self.unfinished)} of its jobs have not ended."
        )
        for one in self.unfinished:
            yield one.sentence
        for host in self.hosts:
            yield f"host {host}: another dispatcher starts and stops it from now on"


class Forgetting:
    """`job_types` say what `on_fail` is; of a type that is gone nothing is tried again."""

    def __init__(
        self, database: Database, job_types: JobTypes, clock: Callable[[], datetime], outbox: Outbox | None
    ) -> None:
        self._database = database
        self._job_types = job_types
        self._clock = clock
        self._recorder = Recorder(database, outbox)

    def estate(self, name: str) -> Estate:
        """Raises DispatcherLives, and Invalid where nobody has heard of it."""
        living = self._recorder.alive(name)
        with self._database.read() as connection:
            self._refuse_alive(connection, name, held=False)
            seen_at = connection.execute(
                select(dispatchers.c.seen_at).where(dispatchers.c.name == name)
            ).scalar()
            cared = select(hosts.c.name).where(hosts.c.carer == name).order_by(hosts.c.name)
            names = tuple(connection.execute(cared).scalars())
            unfinished = tuple(self._unfinished(connection, attempt) for attempt in living)
            if seen_at is None and not names and not unfinished:
                raise Invalid(f'There is no dispatcher "{name}"; {_known(connection)}.')
        return Estate(name=name, seen_at=seen_at, unfinished=unfinished, hosts=names)

    def forget(self, estate: Estate) -> int:
        """How many jobs were given up, each in a transaction in which the dispatcher is not alive.

        Raises DispatcherLives where it is back meanwhile: what it has left is its own again.
        """
        outcome = Outcome(
            exit_code=None, reason=f"outcome unknown: its dispatcher {estate.name} was given up"
        )
        count = 0
        for one in estate.unfinished:
            try:
                self._recorder.ended(
                    one.attempt,
                    outcome,
                    one.on_fail,
                    self._clock(),
                    provided=lambda connection: self._refuse_alive(connection, estate.name),
                )
            except OldToken:
                continue  # it has ended meanwhile
            count += 1
        with self._database.write() as connection:
            self._refuse_alive(connection, estate.name)
            connection.execute(update(hosts).where(hosts.c.carer == estate.name).values(carer=None))
            connection.execute(delete(dispatchers).where(dispatchers.c.name == estate.name))
        return count

    def _refuse_alive(self, connection: Connection, name: str, *, held: bool = True) -> None:
        """`held`: its row is, so that it cannot come back before the transaction is over."""
        row = (dispatchers.c.seen_at >= alive_since(self._clock())).label("is_alive")
        query = select(row).where(dispatchers.c.name == name)
        if connection.execute(query.with_for_update() if held else query).scalar():
            raise DispatcherLives(
                f"The dispatcher {name} is alive: stop it where it runs, "
                f"and wait {DISPATCHER_ALIVE_SECONDS} s."
            )

    def _unfinished(self, connection: Connection, attempt: Attempt) -> Unfinished:
        query = select(jobs.c.type_name, jobs.c.try_count).where(jobs.c.id == attempt.job_id)
        job = connection.execute(query).one_or_none()
        known = job is not None and job.type_name in self._job_types
        on_fail = self._job_types.get(job.type_name).on_fail if job is not None and known else OnFail()
        return Unfinished(
            attempt=attempt,
            type_name=None if job is None else job.type_name,
            on_fail=on_fail,
            has_tries=job is not None and job.try_count < on_fail.count,
            is_cancelled=attempt.cancel_requested,
        )


@dataclass(frozen=True, kw_only=True)
class Silent:
    """A dispatcher that is not alive and has jobs that have not ended."""

    name: str
    seen_at: datetime | None
    job_ids: tuple[int, ...]


def silent_ones(connection: Connection, now: datetime) -> list[Silent]:
    """By name."""
    alive = select(dispatchers.c.name).where(dispatchers.c.seen_at >= alive_since(now))
    query = (
        select(attempts.c.dispatcher, attempts.c.job_id, dispatchers.c.seen_at)
        .join_from(attempts, dispatchers, attempts.c.dispatcher == dispatchers.c.name, isouter=True)
        .where(IS_ALIVE, attempts.c.dispatcher.not_in(alive))
        .order_by(attempts.c.dispatcher, attempts.c.job_id)
    )
    found: dict[str, Silent] = {}
    for row in connection.execute(query):
        before = found.get(row.dispatcher)
        ids = (*before.job_ids, row.job_id) if before else (row.job_id,)
        found[row.dispatcher] = Silent(name=row.dispatcher, seen_at=row.seen_at, job_ids=ids)
    return list(found.values())


def last_seen(seen_at: datetime | None) -> str:
    if seen_at is None:
        return "is not known any more"
    return f"was last seen {seen_at.astimezone():%Y-%m-%d %H:%M:%S}"


def _known(connection: Connection) -> str:
    names = sorted(connection.execute(select(dispatchers.c.name)).scalars())
    return f"known are {', '.join(names)}" if names else "none is known"
