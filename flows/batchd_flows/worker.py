"""The worker type `batchd`: what our work pools are made for; `batchd_api` makes a dispatcher of it."""

import abc
from typing import Any

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from batchd_flows.errors import FlowsError
from batchd_flows.orchestrator_records import POOL_TYPE


class RunNotForPolling(FlowsError):
    """A worker's polling loop was given a run of batchd."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"The flow run {run_id} is started by a batchd dispatcher, never by polling.")


class BatchdWorkerResult(BaseWorkerResult):
    """The exit of a job."""


# Abstract, so that Prefect lists only the dispatcher made of it: a second class of one type is a warning.
class BatchdWorkerBase(BaseWorker[BaseJobConfiguration, BaseVariables, BatchdWorkerResult], abc.ABC):
    type = POOL_TYPE
    job_configuration = BaseJobConfiguration
    _description = "Runs the jobs of a batchd queue, on this machine or on the hosts that it starts."

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """No variables: who may edit a pool or a deployment shall not name a command or an environment."""
        # Prefect takes an empty configuration for a missing one.
        return {"job_configuration": {"labels": {}}, "variables": {"type": "object", "properties": {}}}

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> BatchdWorkerResult:
        raise RunNotForPolling(flow_run.id)
