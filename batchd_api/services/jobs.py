"""Jobs: creating, viewing, changing and deleting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select

from batchd_api.called import is_called
from batchd_api.db.tables import attempts, jobs, queues
from batchd_api.errors import (
    Invalid,
    JobNotFound,
    NotFound,
    QueueNotFound,
    StartOutsideSchedule,
    StatusRefused,
    UnknownInBody,
)
from batchd_api.permissions import Caller, Right
from batchd_api.queries import JobsWanted
from batchd_api.schemas import JobChange, NewJob
from batchd_api.services import autostart
from batchd_api.services.cancellation import cancel
from batchd_api.services.deletion import delete_jobs
from batchd_api.services.dry_runs import preview
from batchd_api.services.ground import Ground, sentence_of
from batchd_api.services.job_files import require_files_of_change, require_files_of_new
from batchd_api.services.job_order import IN_LINE, change_row, next_seq, place_beside, prioritize
from batchd_api.services.job_pages import page_of_all, page_of_queue
from batchd_api.services.job_records import job_records
from batchd_api.services.notices import stored
from batchd_api.services.places import place_of
from batchd_api.services.queues import lock_queue
from batchd_api.statuses import AttemptState, JobStatus
from batchd_api.world import usable_schedule
from batchd_flows.account import UserElsewhere
from batchd_flows.job_types import JobType, ParameterError, resolve_params
from batchd_flows.windows import Schedule, is_open, next_opening

PEOPLES_TIME = "%Y-%m-%d %H:%M"  # of the installation's zone
UNDER_WAY = (JobStatus.WAITING, JobStatus.PROCESSING)
_INSERT = insert(jobs).returning(jobs.c.id)  # made once: every enqueue needs it


class Jobs:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def enqueue(self, caller: Caller, queue_name: str, new: NewJob) -> int:
        """The new job's id, when its row is safe."""
        job_type = self._ground.known_type(new.type)
        host = None if new.host_name is None else self._ground.known_host(new.host_name)
        params = self._params(job_type, new.params)
        require_files_of_new(self._ground, queue_name, job_type, new)
        now = self._ground.clock()
        with self._ground.database.write() as connection:
            queue = lock_queue(connection, queue_name)
            self._require_creation(caller, queue, job_type.name, host)
            self._check_start(queue, new.start_time, now)
            values = {
                "queue_name": queue_name,
                "seq": next_seq(connection, queue_name),
                "type_name": job_type.name,
                "user_name": caller.name,
                "create_time": now,
                "start_time": new.start_time,
                "status": new.status,
                "host_name": host,
                "notes": new.notes,
                "params": params,
                "working_directory": new.working_directory,
                "notify": stored(new.notify, self._ground.notify_targets) if new.notify else None,
                **asdict(new.limits),
            }
            job_id = int(connection.execute(_INSERT, values).scalar_one())
            autostart.look_at(connection, queue)
        self._ground.changed()
        return job_id

    def dry_run(self, caller: Caller, queue_name: str, new: NewJob) -> dict[str, Any]:
        """The checks of an enqueue, and what it would make; nothing is stored."""
        job_type = self._ground.known_type(new.type)
        host = None if new.host_name is None else self._ground.known_host(new.host_name)
        params = self._params(job_type, new.params)
        stored(new.notify, self._ground.notify_targets)
        require_files_of_new(self._ground, queue_name, job_type, new)
        with self._ground.database.read() as connection:
            queue = lock_queue(connection, queue_name)
        self._require_creation(caller, queue, job_type.name, host)
        self._check_start(queue, new.start_time, self._ground.clock())
        place = place_of(host, job_type.host_name, queue.host_name)
        return preview(self._ground, job_type, params, host=place.name, queue=queue, new=new)

    def in_queue(self, queue_name: str, wanted: JobsWanted) -> list[dict[str, Any]]:
        with self._ground.database.read() as connection:
            if connection.execute(select(queues.c.name).where(queues.c.name == queue_name)).first() is None:
                raise QueueNotFound(queue_name)
            return page_of_queue(self._ground, connection, queue_name, wanted)

    def everywhere(self, wanted: JobsWanted) -> list[dict[str, Any]]:
        with self._ground.database.read() as connection:
            return page_of_all(self._ground, connection, wanted)

    def get(self, job_id: int) -> dict[str, Any]:
        with self._ground.database.read() as connection:
            found = job_records(self._ground, connection, jobs.c.id == job_id)
        if not found:
            raise JobNotFound(job_id)
        return found[0]

    def queue_of(self, job_id: int) -> str:
        with self._ground.database.read() as connection:
            return str(_row(connection, job_id).queue_name)

    def change(self, caller: Caller, job_id: int, change: JobChange) -> None:
        """All of it or nothing."""
        require_files_of_change(self._ground, job_id, change)
        with self._ground.database.write() as connection:
            job = _row(connection, job_id)
            target = job.queue_name if change.move_to is None else change.move_to
            queue = _lock_queues(connection, job.queue_name, target)
            job = _row(connection, job_id, lock=True)
            values = self._new_values(connection, caller, job, queue, change)
            if target != job.queue_name:
                self._check_move(caller, job, queue, values)
                values |= {"queue_name": target, "seq": next_seq(connection, target)}
            if values:
                change_row(connection, job_id, **values)
            if change.priority is not None:
                prioritize(connection, _row(connection, job_id), change.priority)
            if change.beside is not None:
                place_beside(connection, _row(connection, job_id), change.beside)
        self._ground.changed()

    def cancel(self, caller: Caller, job_id: int) -> None:
        """A tree that runs ends behind the answer."""
        with self._ground.database.write() as connection:
            cancel(connection, _row(connection, job_id, lock=True), by=caller.name, now=self._ground.clock())
        self._ground.changed()

    def delete(self, caller: Caller, job_id: int) -> None:
        with self._ground.database.write() as connection:
            if not self._delete(connection, caller, jobs.c.id == job_id):
                raise JobNotFound(job_id)
        self._ground.changed()

    def delete_in_queue(self, caller: Caller, queue_name: str, seq: int) -> None:
        with self._ground.database.write() as connection:
            lock_queue(connection, queue_name)
            if not self._delete(connection, caller, jobs.c.queue_name == queue_name, jobs.c.seq == seq):
                raise NotFound("job", f"{queue_name}/{seq}")
        self._ground.changed()

    def _delete(self, connection: Connection, caller: Caller, *where: ColumnElement[bool]) -> int:
        return delete_jobs(connection, *where, by=caller.name, now=self._ground.clock())

    def _params(self, job_type: JobType, given: Mapping[str, Any]) -> dict[str, str]:
        """What was given, checked. Defaults stay out: they count when the job starts, as the type then is."""
        try:
            resolved = resolve_params(job_type, given, self._ground.variables)
        except ParameterError as error:
            raise Invalid(sentence_of(error)) from error
        return {name: resolved[name] for name in given if given[name] is not None and name in resolved}

    def _new_values(
        self, connection: Connection, caller: Caller, job: Any, queue: Any, change: JobChange
    ) -> dict[str, Any]:
        """The columns that a change writes, after every check but the move's own."""
        values = dict(change.values)
        if values.get("host_name") is not None:
            values["host_name"] = self._ground.known_host(values["host_name"])
        if values.get("host_name", job.host_name) != job.host_name:
            self._require_creation(caller, queue, job.type_name, values["host_name"])
            _refuse_under_way(job, "its host")
        if values.get("working_directory", job.working_directory) != job.working_directory:
            _refuse_under_way(job, "its working directory")
        if "notify" in values:
            values["notify"] = stored(values["notify"], self._ground.notify_targets)
        self._check_start(queue, values.get("start_time"), self._ground.clock())
        if change.params is not None:
            values["params"] = self._changed_params(job, change.params)
        if change.status is not None:
            values |= _status_values(connection, job, change.status, self._ground.clock())
        return values

    def _changed_params(self, job: Any, given: Mapping[str, Any]) -> dict[str, str]:
        if job.status not in IN_LINE:
            raise StatusRefused(
                f"Job {job.id} is {job.status}: only a New or Postponed job's params can change."
            )
        job_type = self._ground.known_type(job.type_name)
        secrets = {p.name: job.params[p.name] for p in job_type.params if p.secret and p.name in job.params}
        return self._params(job_type, secrets | dict(given))  # nobody can send back what is never shown

    def _check_move(self, caller: Caller, job: Any, queue: Any, values: Mapping[str, Any]) -> None:
        caller.require(Right.MANAGE_JOBS, queue=queue.name)
        self._require_creation(caller, queue, job.type_name, values.get("host_name", job.host_name))
        if job.status in UNDER_WAY:
            raise StatusRefused(f"Job {job.id} is {job.status}: it cannot be moved now.")

    def _require_creation(self, caller: Caller, queue: Any, type_name: str, host: str | None) -> None:
        place = place_of(host, self._ground.host_of_type(type_name), queue.host_name)
        caller.require(Right.CREATE_JOBS, queue=queue.name, job_type=type_name, place=place)
        run_as = self._ground.user_of_type(type_name) or queue.run_as
        if run_as is not None and place.name is not None:
            raise Invalid(sentence_of(UserElsewhere(run_as, place.name)))

    def _check_start(self, queue: Any, start: datetime | None, now: datetime) -> None:
        """A time in the past means now, and now is always accepted: the job waits for the window."""
        if start is None or start <= now:
            return
        schedule, zone = usable_schedule(queue.schedule_name, queue.weekdays, queue.time), self._ground.zone
        opens = next_opening(schedule, start, zone) if isinstance(schedule, Schedule) else None
        if not isinstance(schedule, Schedule) or not is_open(schedule, start, zone):
            at = f"{start.astimezone(zone):{PEOPLES_TIME}}"
            then = f"{opens.astimezone(zone):{PEOPLES_TIME}}" if opens else None
            raise StartOutsideSchedule(at, queue.schedule_name, queue.name, then)


def _row(connection: Connection, job_id: int, *, lock: bool = False) -> Any:
    query = select(jobs).where(jobs.c.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return row


def _refuse_under_way(job: Any, what: str) -> None:
    if job.status in UNDER_WAY:
        raise StatusRefused(f"Job {job.id} is {job.status}: {what} cannot change now.")


def _lock_queues(connection: Connection, current: str, target: str) -> Any:
    """The target's row. Both are locked, always in the same order: two moves must not wait for each other."""
    try:
        rows = {name: lock_queue(connection, name) for name in sorted({current, target})}
    except QueueNotFound:
        raise UnknownInBody("queue", target) from None
    return rows[target]


def _status_values(connection: Connection, job: Any, status: JobStatus, now: datetime) -> dict[str, Any]:
    """What a person may set: run again, hold, or close what does not run."""
    no_reason = {"reason_code": None, "reason_text": None, "reason_until": None}
    if status is JobStatus.NEW:
        if _is_alive(connection, job.id):  # no job runs twice at the same time
            raise StatusRefused(f"Job {job.id} is {job.status}, and its execution has not ended.")
        return {"status": status, "try_count": 0, "end_time": None, **no_reason}
    if status is JobStatus.POSTPONED:
        if job.status not in IN_LINE and not is_called(connection, job.id):
            raise StatusRefused(f"Job {job.id} is {job.status}: only a New job can be postponed.")
        return {"status": status, **no_reason} if job.status != status else {}
    if status in (JobStatus.DONE, JobStatus.FAILED):
        if job.status in UNDER_WAY or _is_alive(connection, job.id):
            raise StatusRefused(f"Job {job.id} is running; cancel it to stop it.")
        return {"status": status, "end_time": now, **no_reason} if job.status != status else {}
    raise StatusRefused(f"No person can set a job to {status}; it comes by itself.")


def _is_alive(connection: Connection, job_id: int) -> bool:
    query = select(attempts.c.id).where(attempts.c.job_id == job_id, attempts.c.state != AttemptState.ENDED)
    return connection.execute(query.limit(1)).first() is not None
