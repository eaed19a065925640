"""The flow behind every job's deployment; it only refuses, because dispatchers use no engine of Prefect's."""

from typing import Any

from prefect import flow

from batchd_flows.errors import FlowsError

ENTRYPOINT = "batchd_flows.dispatched_flow.run_job"


class RunOutsideDispatcher(FlowsError):
    """A job's flow was started by Prefect itself."""

    def __init__(self) -> None:
        super().__init__(
            "This flow run is a batchd job and runs only in a batchd dispatcher: nothing was started here."
        )


# Prefect's engine takes the names of a flow's parameters literally, `**` or not: a run with any parameter
# ends before its first line, and its log says "expects parameters ['runs_only_in_a_batchd_dispatcher']".
@flow(name="batchd-job", validate_parameters=False, persist_result=False, retries=0)
def run_job(**runs_only_in_a_batchd_dispatcher: Any) -> None:
    raise RunOutsideDispatcher
