"""The REST contract as a Python class: what `batch` uses, and what programs may use.

    client = Client("http://localhost:9681", auth=basic("me", "secret"))
    number = client.enqueue("night", "command", {"command": "make"})
    client.job(number).status

Every method may raise `Unreachable`, `ServerError` (the manager's code and sentence) and `ProtocolError`.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from batchd_cli.connection import Connection, Tls
from batchd_cli.errors import Forbidden, ForceNeeded, InvalidName, ProtocolError
from batchd_cli.records import (
    Job,
    JobType,
    Metric,
    Parameter,
    Period,
    Permission,
    Queue,
    Record,
    Result,
    Schedule,
    format_time,
)

__all__ = [
    "Client",
    "Job",
    "JobType",
    "Metric",
    "Parameter",
    "Period",
    "Permission",
    "Queue",
    "Result",
    "Schedule",
    "Tls",
    "basic",
    "user_header",
]


R = TypeVar("R", bound=Record)


def basic(username: str, password: str) -> dict[str, str]:
    """HTTP basic authentication, as UTF-8."""
    return {
        "Authorization": "Basic "
        + b64encode(f"{username}:{password}".encode(errors="surrogateescape")).decode()
    }


def user_header(username: str) -> dict[str, str]:
    """The name alone: for a manager without authentication, or behind a proxy that has done it.

    A header is bytes: the UTF-8 ones, each written as the Latin-1 letter that http.client turns back.
    """
    return {"X-Auth-User": username.encode(errors="surrogateescape").decode("latin-1")}


class Client:
    """A manager at a URL. Not for several threads at once; close it, or use it in a `with`."""

    def __init__(
        self,
        url: str = "http://localhost:9681",
        *,
        auth: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._connection = Connection(url, headers=auth or {}, tls=tls or Tls(), trace=trace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def authenticate(self, auth: Mapping[str, str]) -> None:
        """These headers go with each request from now on."""
        self._connection.headers.update(auth)

    def methods(self) -> list[str]:
        """How one may authenticate: `basic`, `header`, both; none when authentication is off."""
        return [str(one) for one in self._list("OPTIONS", "/")]

    # queues

    def queues(self) -> list[Queue]:
        return self._records(Queue, "/queue")

    def queue(self, name: str) -> Queue:
        return Queue.from_json(self._get(_path("queue", name)))

    def create_queue(self, name: str, **fields: object) -> str:
        """`title enabled schedule_name host_name autostart_job_count`, each with its default."""
        return str(self._send("POST", "/queue", {"name": name, **fields}))

    def update_queue(self, name: str, **fields: object) -> None:
        """The same; `host_name="*"` clears the host, `autostart_job_count=None` the count."""
        self._send("PUT", _path("queue", name), fields)

    def delete_queue(self, name: str, *, forced: bool = False) -> None:
        """Errors: ForceNeeded when there are jobs in it; forced, they go too."""
        self._delete(_path("queue", name), name, forced=forced)

    def jobs(self, queue: str, *, status: str | None = None) -> list[Job]:
        """In the order they stand in the queue; no status means the new ones, `all` all."""
        query = {"status": status.lower()} if status else {}
        return self._records(Job, _path("queue", queue, "jobs", query=query))

    def enqueue(
        self,
        queue: str,
        job_type: str,
        params: Mapping[str, str],
        *,
        host_name: str | None = None,
        start_time: datetime | None = None,
        notes: str | None = None,
        working_directory: str | None = None,
    ) -> int:
        """The new job's id."""
        optional = {
            "host_name": host_name,
            "start_time": format_time(start_time) if start_time else None,
            "notes": notes,
            "working_directory": working_directory,
        }
        given = {key: value for key, value in optional.items() if value is not None}
        answer = self._send(
            "POST", _path("queue", queue), {"type": job_type, "params": dict(params), **given}
        )
        if not isinstance(answer, int) or isinstance(answer, bool):
            raise ProtocolError(f"expected a job's id, got {answer!r}")
        return answer

    def stats(self) -> dict[str, dict[str, int]]:
        """Queue → status in lower case → how many, only those that occur."""
        return dict(self._mapping("/stats"))

    def queue_stats(self, name: str) -> dict[str, int]:
        return dict(self._mapping(_path("stats", name)))

    # jobs

    def job(self, number: int) -> Job:
        return Job.from_json(self._get(f"/job/{number}"))

    def update_job(self, number: int, **fields: object) -> None:
        """`status host_name notes start_time`; `host_name="*"`, None for the other two clear them."""
        start = fields.get("start_time")
        wire = {**fields, "start_time": format_time(start)} if isinstance(start, datetime) else fields
        self._send("PUT", f"/job/{number}", wire)

    def prioritize_job(self, number: int, priority: str) -> None:
        """`first more less last` among those that wait."""
        self._send("PUT", f"/job/{number}", {"priority": priority})

    def move_job(self, number: int, queue: str) -> None:
        self._send("PUT", f"/job/{number}", {"move": queue})

    def delete_job(self, number: int) -> None:
        """One that runs is stopped."""
        self._send("DELETE", f"/job/{number}")

    def results(self, number: int) -> list[Result]:
        """All executions' output, oldest first."""
        return self._records(Result, f"/job/{number}/results")

    def last_result(self, number: int) -> Result:
        """Errors: NotFound when it never ran."""
        return Result.from_json(self._get(f"/job/{number}/results/last"))

    # schedules, types, hosts

    def schedules(self) -> list[Schedule]:
        return self._records(Schedule, "/schedule")

    def create_schedule(self, schedule: Schedule) -> str:
        periods = schedule.time and [{"begin": one.begin, "end": one.end} for one in schedule.time]
        days = schedule.weekdays and list(schedule.weekdays)
        body = {"name": schedule.name, "weekdays": days, "time": periods}
        return str(self._send("POST", "/schedule", body))

    def delete_schedule(self, name: str, *, forced: bool = False) -> None:
        """Errors: ForceNeeded when a queue uses it; forced, the queues and their jobs go too."""
        self._delete(_path("schedule", name), name, forced=forced)

    def job_types(self) -> list[JobType]:
        return self._records(JobType, "/type")

    def job_type(self, name: str) -> JobType:
        return JobType.from_json(self._get(_path("type", name)))

    def hosts(self) -> list[str]:
        return [str(one) for one in self._list("GET", "/host")]

    # users and metrics

    def users(self) -> list[str]:
        return [str(one) for one in self._list("GET", "/user")]

    def create_user(self, name: str, password: str) -> str:
        return str(self._send("POST", "/user", {"name": name, "password": password}))

    def set_password(self, name: str, password: str) -> None:
        self._send("PUT", _path("user", name), {"password": password})

    def permissions(self, user: str) -> list[Permission]:
        pairs = self._list("GET", _path("user", user, "permissions"))
        try:
            return [Permission.from_json({**record, "id": number}) for number, record in pairs]
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"permissions that are no pairs: {error}") from error

    def grant(self, user: str, permission: Permission) -> int:
        body = {
            "user_name": user,
            "permission": permission.permission,
            "queue_name": permission.queue_name,
            "type_name": permission.type_name,
            "host_name": permission.host_name,
        }
        return int(self._send("POST", _path("user", user, "permissions"), body))

    def revoke(self, user: str, number: int) -> None:
        self._send("DELETE", _path("user", user, "permissions", str(number)))

    def metrics(self, prefix: str | None = None) -> list[Metric]:
        return self._records(Metric, _monitor(prefix, "current", "plain"))

    def metrics_tree(self, prefix: str | None = None) -> Any:
        """By the dots of the names; leaves are `{"type", "val"}`."""
        return self._get(_monitor(prefix, "current", "tree"))

    def last_metric(self, name: str) -> Any:
        """The last stored record of one metric, as a tree."""
        return self._get(_monitor(name, "last"))

    # how

    def _get(self, path: str) -> Any:
        return self._connection.request("GET", path)

    def _send(self, method: str, path: str, body: object = None) -> Any:
        return self._connection.request(method, path, body)

    def _list(self, method: str, path: str) -> list[Any]:
        answer = self._connection.request(method, path)
        if not isinstance(answer, list):
            raise ProtocolError(f"expected a list from {path}, got {str(answer)[:80]!r}")
        return answer

    def _mapping(self, path: str) -> Mapping[str, Any]:
        answer = self._get(path)
        if not isinstance(answer, dict):
            raise ProtocolError(f"expected figures from {path}, got {str(answer)[:80]!r}")
        return answer

    def _records(self, kind: type[R], path: str) -> list[R]:
        return [kind.from_json(one) for one in self._list("GET", path)]

    def _delete(self, path: str, name: str, *, forced: bool) -> None:
        """Two refusals are 403; the one that force would answer names it (a thing's own name aside)."""
        try:
            self._send("DELETE", path + ("?forced=true" if forced else ""))
        except Forbidden as error:
            if forced or "force" not in error.sentence.replace(name, "").lower():
                raise
            raise ForceNeeded(error.status, error.sentence) from error


def _path(*segments: str, query: Mapping[str, str] | None = None) -> str:
    """A path with every name percent-encoded, slashes too."""
    if not all(segments):
        raise InvalidName
    path = "".join("/" + quote(one, safe="", errors="replace") for one in segments)
    return path + ("?" + urlencode(query) if query else "")


def _monitor(prefix: str | None, *rest: str) -> str:
    return _path("monitor", *([prefix] if prefix else []), *rest)
