"""Job types and hosts, and which of them a caller may choose for a new job in a queue."""

from __future__ import annotations

from typing import Any

from batchd_api.errors import NotFound
from batchd_api.permissions import DEFAULT_HOST, Caller, Place, Right
from batchd_api.services.ground import Ground
from batchd_api.services.places import place_of
from batchd_api.services.queues import Queues
from batchd_flows.job_types import JobType


class Choices:
    def __init__(self, ground: Ground, queues: Queues) -> None:
        self._ground = ground
        self._queues = queues

    def types(self) -> list[dict[str, Any]]:
        return [job_type.rest_record() for job_type in self._ground.job_types]

    def type(self, name: str) -> dict[str, Any]:
        return self._type(name).rest_record()

    def hosts(self) -> list[str]:
        return [host.name for host in self._ground.hosts]

    def types_in(self, caller: Caller, queue_name: str) -> list[dict[str, Any]]:
        queue = self._queues.get(queue_name)
        return [t.rest_record() for t in self._ground.job_types if self._choosable(caller, queue, t)]

    def hosts_in(self, caller: Caller, queue_name: str) -> list[str]:
        """Where the caller may create some type; `__default__` first: without naming a host."""
        queue = self._queues.get(queue_name)
        found = {host for t in self._ground.job_types for host in self._choosable(caller, queue, t)}
        return [host for host in (DEFAULT_HOST, *self.hosts()) if host in found]

    def hosts_for(self, caller: Caller, queue_name: str, type_name: str) -> list[str]:
        return self._choosable(caller, self._queues.get(queue_name), self._type(type_name))

    def _type(self, name: str) -> JobType:
        if name not in self._ground.job_types:
            raise NotFound("job type", name)
        return self._ground.job_types.get(name)

    def _choosable(self, caller: Caller, queue: dict[str, Any], job_type: JobType) -> list[str]:
        places = {DEFAULT_HOST: place_of(None, job_type.host_name, queue["host_name"])}
        places |= {name: Place(name=name) for name in self.hosts()}
        return [
            name
            for name, place in places.items()
            if caller.may(Right.CREATE_JOBS, queue=queue["name"], job_type=job_type.name, place=place)
        ]
