from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.flows import load_flow_from_entrypoint
from prefect.workers.base import BaseJobConfiguration

from batchd_flows.dispatched_flow import ENTRYPOINT, RunOutsideDispatcher, run_job
from batchd_flows.worker import BatchdWorkerBase, RunNotForPolling


class Dispatcher(BatchdWorkerBase):
    """As the batchd side makes one; a warning about a second class of the type would be an error here."""


def test_a_dispatcher_takes_the_type_of_its_base() -> None:
    assert BatchdWorkerBase.type == Dispatcher.type == "batchd"


def test_a_pool_of_ours_offers_nothing_that_could_name_a_command() -> None:
    assert BatchdWorkerBase.get_default_base_job_template()["variables"]["properties"] == {}


@pytest.mark.anyio
async def test_a_polling_worker_starts_nothing() -> None:
    worker: Any = Dispatcher.__new__(Dispatcher)
    with pytest.raises(RunNotForPolling, match="dispatcher"):
        await worker.run(FlowRun(id=uuid4(), flow_id=uuid4()), BaseJobConfiguration())


def test_the_entry_point_of_every_deployment_is_a_flow() -> None:
    assert load_flow_from_entrypoint(ENTRYPOINT).name == run_job.name


def test_a_jobs_flow_outside_a_dispatcher_refuses_whatever_it_is_given() -> None:
    with pytest.raises(RunOutsideDispatcher, match="dispatcher"):
        run_job.fn(input="a", frames=3)
