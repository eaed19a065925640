"""The flow behind every queue's window; it only refuses, because a dispatcher settles its runs by itself."""

from prefect import flow

from batchd_flows.errors import FlowsError

FLOW_NAME = "queue window"
ENTRYPOINT = "batchd_flows.queue_window.queue_window"


class WindowOutsideDispatcher(FlowsError):
    """A window's flow was started by Prefect itself."""

    def __init__(self) -> None:
        super().__init__(
            "This flow run marks when a batchd queue opens or closes; only a batchd dispatcher looks at it,"
            " and the queue's schedule alone decides: nothing was done here."
        )


# The parameters are there for people to read.
@flow(name=FLOW_NAME, validate_parameters=False, persist_result=False, retries=0)
def queue_window(queue: str = "", edge: str = "") -> None:
    raise WindowOutsideDispatcher
