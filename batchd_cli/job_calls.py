"""The client's calls about jobs."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from batchd_cli.calls import Calls, make_path
from batchd_cli.connection import Answer
from batchd_cli.handle import JobHandle
from batchd_cli.record import format_time
from batchd_cli.records import DryRun, Job, Result
from batchd_cli.streaming import Event, follow


class JobFilter(TypedDict, total=False):
    """Which jobs of a list: `status` `all` is every one, none the new ones; `since` is when it was created;
    `after` is the id of the last job of the page before."""

    status: str | None
    user: str | None
    type: str | None
    host: str | None
    since: datetime | None
    limit: int | None
    after: int | None


class Order(TypedDict, total=False):
    """What an enqueue may say besides queue, type and parameters: seconds or "2h", bytes or "500M"."""

    host_name: str | None
    start_time: datetime | None
    notes: str | None
    working_directory: str | None
    timeout: float | str | None
    silence: float | str | None
    kill_after: float | str | None
    output_limit: int | str | None
    notify: list[str] | None


class JobCalls(Calls):
    """Jobs, their output, and what is done with them."""

    def jobs(self, queue: str, **which: Unpack[JobFilter]) -> list[Job]:
        """In the order they stand in the queue."""
        return self._records(Job, make_path("queue", queue, "jobs", query=_query(which)))

    def all_jobs(self, **which: Unpack[JobFilter]) -> list[Job]:
        """Of all queues, by id. Errors: Forbidden without ViewJobs in every queue."""
        return self._records(Job, make_path("jobs", query=_query(which)))

    def enqueue(
        self, queue: str, job_type: str, params: Mapping[str, str], **order: Unpack[Order]
    ) -> JobHandle:
        """The new job, in hand: its `.id`, `.wait()`, `.follow()`."""
        answer = self._send("POST", make_path("queue", queue), _order(job_type, params, order))
        return self.handle(self._number(answer))

    def handle(self, number: int) -> JobHandle:
        """The same for a job that is there already."""
        return JobHandle(id=number, client=self)

    def dry_run(self, queue: str, job_type: str, params: Mapping[str, str], **order: Unpack[Order]) -> DryRun:
        """The same checks, and nothing enqueued."""
        path = make_path("queue", queue, query={"dry_run": "true"})
        return DryRun.from_json(self._send("POST", path, _order(job_type, params, order)))

    def job(self, number: int) -> Job:
        return Job.from_json(self._get(f"/job/{number}"))

    def update_job(self, number: int, **fields: object) -> None:
        """`status host_name notes start_time params working_directory`; `host_name="*"`, None for notes and
        start_time clear them."""
        start = fields.get("start_time")
        wire = {**fields, "start_time": format_time(start)} if isinstance(start, datetime) else fields
        self._send("PUT", f"/job/{number}", wire)

    def prioritize_job(self, number: int, priority: str) -> None:
        """`first more less last` among those that wait."""
        self._send("PUT", f"/job/{number}", {"priority": priority})

    def move_job(self, number: int, queue: str) -> None:
        self._send("PUT", f"/job/{number}", {"move": queue})

    def cancel_job(self, number: int) -> None:
        """One that waits is Failed at once, one that runs is stopped. Errors: 409 for one that has ended."""
        self._send("POST", f"/job/{number}/cancel")

    def delete_job(self, number: int) -> None:
        """One that runs is stopped."""
        self._send("DELETE", f"/job/{number}")

    def delete_job_at(self, queue: str, seq: int) -> None:
        """The job at this place of the queue."""
        self._send("DELETE", make_path("queue", queue, str(seq)))

    def results(self, number: int) -> list[Result]:
        """All executions' output, oldest first."""
        return self._records(Result, f"/job/{number}/results")

    def last_result(self, number: int) -> Result:
        """Errors: NotFound when it never ran."""
        return Result.from_json(self._get(f"/job/{number}/results/last"))

    def output(
        self, number: int, stream: str = "stdout", *, attempt: int | None = None, offset: int = 0
    ) -> bytes:
        """A stream of an execution (None = the latest), byte for byte."""
        return self._output(number, stream, attempt, offset, {}).data

    def output_size_bytes(self, number: int, stream: str, attempt: int | None = None) -> int:
        """How much there is so far, without fetching it."""
        answer = self._output(number, stream, attempt, 0, {"Range": "bytes=-1"})
        total = answer.headers.get("content-range", "").rpartition("/")[2]
        return int(total) if total.isdecimal() else len(answer.data)

    def output_is_cut(self, number: int, attempt: int | None = None) -> bool:
        """The command has written more than was kept."""
        answer = self._output(number, "stdout", attempt, 0, {"Range": "bytes=-1"})
        return answer.headers.get("x-output-cut") == "true"

    def follow(self, number: int) -> Iterator[Event]:
        """Output and changes as they come, from the job's beginning until it has ended."""
        return follow(self._connection, number)

    def _output(
        self, number: int, stream: str, attempt: int | None, offset: int, headers: Mapping[str, str]
    ) -> Answer:
        query = {"stream": stream} | ({"attempt": str(attempt)} if attempt is not None else {})
        query |= {"offset": str(offset)} if offset else {}
        path = make_path("job", str(number), "output", query=query)
        return self._connection.exchange("GET", path, headers=headers, accepted=(200, 206, 416))


def _query(which: JobFilter) -> dict[str, str]:
    given: dict[str, Any] = {key: value for key, value in which.items() if value is not None}
    if "status" in given:
        given["status"] = given["status"].lower()
    if "since" in given:
        given["since"] = format_time(given["since"])
    return {key: str(value) for key, value in given.items()}


def _order(job_type: str, params: Mapping[str, str], order: Order) -> dict[str, object]:
    given: dict[str, Any] = {key: value for key, value in order.items() if value is not None}
    if "start_time" in given:
        given["start_time"] = format_time(given["start_time"])
    return {"type": job_type, "params": dict(params), **given}
