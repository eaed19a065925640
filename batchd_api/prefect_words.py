"""What people read in the Prefect UI: names, tags, descriptions and forms."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from batchd_api.books import Entry, QueueEntry
from batchd_api.reconcile import Create, waiting_state
from batchd_flows.job_types import JobType, JobTypes, ParameterType
from batchd_flows.names import flow_name, pool_name, run_name, slug
from batchd_flows.orchestrator_records import DeploymentSpec, PoolSpec, RunSpec, Waiting

ENTRYPOINT = "batchd_flows.dispatched_flow.run_job"
VALUE_LENGTH = 1000  # Prefect refuses parameters over 512 KiB; what is longer is shown by its beginning
NAMED_VALUES = 3


class PrefectWords:
    """`workers` is the limit of a queue that sets none of its own."""

    def __init__(
        self, job_types: JobTypes, *, installation_id: str, workers: int, variables: Mapping[str, str]
    ) -> None:
        self._job_types = job_types
        self._installation_id = installation_id
        self._workers = workers
        self._variables = variables

    def pool(self, queue: QueueEntry) -> PoolSpec:
        return PoolSpec(
            name=pool_name(queue.name),
            description=f"Queue {queue.name}: {queue.title}. Schedule: {queue.schedule_name}.",
            concurrency_limit=queue.max_jobs or self._workers,
            paused=not queue.enabled,
        )

    def deployment(self, type_name: str, queue_name: str) -> DeploymentSpec:
        job_type = self._type(type_name)
        return DeploymentSpec(
            flow_name=flow_name(type_name),
            name=slug(queue_name),
            pool_name=pool_name(queue_name),
            description=_description(job_type, type_name, queue_name),
            parameter_schema=job_type.parameter_schema(self._variables) if job_type else {},
            entrypoint=ENTRYPOINT,
            tags=(f"queue:{queue_name}", f"type:{type_name}"),
        )

    def run(self, entry: Entry, action: Create, deployment_id: UUID) -> RunSpec:
        row = entry.row
        job_type = self._type(entry.type_name)
        name, text = waiting_state(row.reason)
        shown = _without_secrets(entry.params, job_type)
        host = entry.host_name or (job_type.host_name if job_type else None) or "local"
        return RunSpec(
            deployment_id=deployment_id,
            name=run_name(row.job_id, entry.type_name, _telling_values(shown, job_type)),
            tags=(
                f"queue:{row.queue_name}",
                f"user:{entry.user_name}",
                f"host:{host}",
                f"type:{entry.type_name}",
            ),
            parameters={key: value[:VALUE_LENGTH] for key, value in shown.items()},
            idempotency_key=f"batchd:{self._installation_id}:{row.job_id}:{action.attempt}:{action.number}",
            waiting=Waiting(code_name=name, message=text),
            scheduled_time=entry.create_time,
        )

    def _type(self, name: str) -> JobType | None:
        return self._job_types.get(name) if name in self._job_types else None


def _description(job_type: JobType | None, type_name: str, queue_name: str) -> str:
    if job_type is None:
        return f"Jobs of type {type_name} in queue {queue_name}; no file defines the type any more."
    template = "\n".join(job_type.template)
    return f"{job_type.title or type_name}, in queue {queue_name}. Runs:\n\n```\n{template}\n```"


def _without_secrets(params: Mapping[str, str], job_type: JobType | None) -> dict[str, str]:
    secret = {parameter.name for parameter in job_type.params if parameter.secret} if job_type else set()
    return {name: value for name, value in params.items() if name not in secret}


def _telling_values(params: Mapping[str, str], job_type: JobType | None) -> list[str]:
    """What tells a job from its neighbours: its files by their base names, else its first values."""
    if job_type is None:
        return list(params.values())[:NAMED_VALUES]
    declared = [parameter for parameter in job_type.params if params.get(parameter.name)]
    files = [p for p in declared if p.type is ParameterType.INPUT_FILE]
    if files:
        return [params[p.name].rstrip("/").rsplit("/", 1)[-1] for p in files[:NAMED_VALUES]]
    return [params[p.name] for p in declared[:NAMED_VALUES]]
