"""The client's calls about queues, schedules, job types and hosts."""

from collections.abc import Mapping, Sequence

from batchd_cli.calls import Calls, make_path
from batchd_cli.records import Host, HostTest, JobType, Opening, Period, Queue, Schedule


class QueueCalls(Calls):
    """Where and when jobs run."""

    def queues(self) -> list[Queue]:
        return self._records(Queue, "/queue")

    def queue(self, name: str) -> Queue:
        return Queue.from_json(self._get(make_path("queue", name)))

    def create_queue(self, name: str, **fields: object) -> str:
        """`title enabled schedule_name host_name autostart_job_count max_jobs run_as work_pool`."""
        return str(self._send("POST", "/queue", {"name": name, **fields}))

    def update_queue(self, name: str, **fields: object) -> None:
        """The same; `host_name="*"` clears the host, `autostart_job_count=None` the count."""
        self._send("PUT", make_path("queue", name), fields)

    def delete_queue(self, name: str, *, forced: bool = False) -> None:
        """Errors: ForceNeeded when there are jobs in it; forced, they go too."""
        self._delete(make_path("queue", name), name, forced=forced)

    def delete_jobs(self, queue: str, status: str) -> None:
        """That queue's jobs in this status, `all` all of them; the queue stays."""
        self._send("DELETE", make_path("queue", queue, query={"status": status.lower()}))

    def queue_job_types(self, queue: str) -> list[JobType]:
        """Those that you may create there."""
        return self._records(JobType, make_path("queue", queue, "type"))

    def queue_hosts(self, queue: str, job_type: str | None = None) -> list[str]:
        """Where you may create a job of (this) type there; `__default__` is the queue's own host."""
        segments = ("type", job_type, "host") if job_type is not None else ("host",)
        return self._names(make_path("queue", queue, *segments))

    def stats(self) -> dict[str, dict[str, int]]:
        """Queue → status in lower case → how many, only those that occur."""
        return dict(self._mapping("/stats"))

    def queue_stats(self, name: str) -> dict[str, int]:
        return dict(self._mapping(make_path("stats", name)))

    def schedules(self) -> list[Schedule]:
        return self._records(Schedule, "/schedule")

    def create_schedule(self, schedule: Schedule) -> str:
        body = {
            "name": schedule.name,
            "weekdays": _days(schedule.weekdays),
            "time": _periods(schedule.time),
        }
        return str(self._send("POST", "/schedule", body))

    def update_schedule(
        self,
        name: str,
        *,
        weekdays: Sequence[str] | None = (),
        time: Sequence[Period] | None = (),
    ) -> None:
        """None is any day, any time; what is not given stays."""
        changes: Mapping[str, object] = {
            **({"weekdays": _days(weekdays)} if weekdays != () else {}),
            **({"time": _periods(time)} if time != () else {}),
        }
        self._send("PUT", make_path("schedule", name), changes)

    def delete_schedule(self, name: str, *, forced: bool = False) -> None:
        """Errors: ForceNeeded when a queue uses it; forced, the queues and their jobs go too."""
        self._delete(make_path("schedule", name), name, forced=forced)

    def openings(self, schedule: str, count: int = 5) -> list[Opening]:
        """The next times in which it allows starts; an open one comes first."""
        query = {"count": str(count)}
        return self._records(Opening, make_path("schedule", schedule, "openings", query=query))

    def job_types(self) -> list[JobType]:
        return self._records(JobType, "/type")

    def job_type(self, name: str) -> JobType:
        return JobType.from_json(self._get(make_path("type", name)))

    def hosts(self) -> list[str]:
        return self._names("/host")

    def host_states(self) -> list[Host]:
        return self._records(Host, "/hosts")

    def host(self, name: str) -> Host:
        return Host.from_json(self._get(make_path("host", name)))

    def start_host(self, name: str) -> None:
        """Now, without a job; it takes jobs again where it was drained."""
        self._send("POST", make_path("host", name, "start"))

    def stop_host(self, name: str) -> None:
        """Now; it takes no jobs until it is started or resumed. Errors: Conflict while jobs run there."""
        self._send("POST", make_path("host", name, "stop"))

    def drain_host(self, name: str) -> None:
        """It takes no new jobs."""
        self._send("POST", make_path("host", name, "drain"))

    def resume_host(self, name: str) -> None:
        """It takes jobs again, and is tried at once where it had failed."""
        self._send("POST", make_path("host", name, "resume"))

    def test_host(self, name: str) -> HostTest:
        """From a dispatcher: key, address, login, folders, a command. Takes up to a minute."""
        return HostTest.from_json(self._send("POST", make_path("host", name, "test")))


def _days(weekdays: Sequence[str] | None) -> list[str] | None:
    return list(weekdays) if weekdays else None


def _periods(time: Sequence[Period] | None) -> list[dict[str, str]] | None:
    return [{"begin": one.begin, "end": one.end} for one in time] if time else None
