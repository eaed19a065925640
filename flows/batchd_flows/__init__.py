"""The Prefect side: job types as flows, queues as work pools, and the supervisor that runs a command.

For flows of your own: `job_flow("NAME")` is a job type as a Prefect flow, `@job_type` makes one in Python.
They are loaded when first asked for, because Prefect's import takes seconds and reads the environment.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "CommandFailed": "batchd_flows.flow_command",
    "CommandResult": "batchd_flows.flow_command",
    "InputFile": "batchd_flows.python_types",
    "OutputFile": "batchd_flows.python_types",
    "TypeFlow": "batchd_flows.type_flow",
    "job_flow": "batchd_flows.type_flow",
    "job_type": "batchd_flows.python_types",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
