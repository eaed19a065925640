"""The client's calls about metrics and the manager's health."""

import json
from datetime import datetime
from typing import Any

from batchd_cli.calls import Calls, make_path
from batchd_cli.errors import ProtocolError
from batchd_cli.records import Health, JobCount, Metric


class MonitorCalls(Calls):
    """Figures. The times of a period are the server's local time, as the contract has it."""

    def metrics(self, prefix: str | None = None) -> list[Metric]:
        return self._records(Metric, _monitor(prefix, "current", "plain"))

    def metrics_tree(self, prefix: str | None = None) -> Any:
        """By the dots of the names; leaves are `{"type", "val"}`."""
        return self._get(_monitor(prefix, "current", "tree"))

    def last_metric(self, name: str) -> Any:
        """The last stored record of one metric, as a tree."""
        return self._get(_monitor(name, "last"))

    def stored_metrics(
        self,
        prefix: str,
        *,
        last_seconds: int | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Metric]:
        """Stored records of the last seconds, or from a time (to a time)."""
        query = _period(last_seconds, begin, end)
        return self._records(Metric, make_path("monitor", prefix, "query", query=query))

    def job_counts(
        self,
        *,
        last_seconds: int | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[JobCount]:
        """How many jobs stood in which status, over such a period."""
        query = _period(last_seconds, begin, end)
        return self._records(JobCount, make_path("monitor", "jobs", query=query))

    def health(self) -> Health:
        """Also when the manager says that it is not well. Errors: Unreachable."""
        answer = self._connection.exchange("GET", "/health", accepted=(200, 503))
        try:
            return Health.from_json(json.loads(answer.data))
        except ValueError as error:
            raise ProtocolError("expected figures from /health") from error


def _monitor(prefix: str | None, *rest: str) -> str:
    return make_path("monitor", *([prefix] if prefix else []), *rest)


def _period(last_seconds: int | None, begin: datetime | None, end: datetime | None) -> dict[str, str]:
    times = {"from": begin, "to": end}
    written = {name: time.strftime("%Y-%m-%dT%H:%M:%S") for name, time in times.items() if time}
    return written | ({"last": str(last_seconds)} if last_seconds is not None else {})
