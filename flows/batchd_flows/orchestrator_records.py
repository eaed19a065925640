"""What goes to Prefect and comes back from it, in our own words; no type of Prefect's passes this line.

FlowsError
├── OrchestratorUnavailable      Prefect does not answer now; the same call may succeed later
├── OrchestratorRefused          Prefect answered, and will answer so again
├── PoolOfAnotherType
├── Gone                         what the call is about was deleted in Prefect
│   ├── RunGone
│   ├── DeploymentGone
│   └── PoolGone
└── StateRefused                 a rule of Prefect's forbids this state now
    └── ClaimRefused             somebody else has the run, or it may not start
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from batchd_flows.errors import FlowsError

POOL_TYPE = "batchd"


class OrchestratorUnavailable(FlowsError):
    """Prefect does not answer."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Prefect does not answer: {why}.")


class OrchestratorRefused(FlowsError):
    """Prefect refuses a request that it will refuse again."""

    def __init__(self, status: int | None, why: str) -> None:
        super().__init__(f"Prefect refuses ({status or 'no status'}): {why}.")
        self.status = status


class PoolOfAnotherType(FlowsError):
    """A work pool of this name serves something else."""

    def __init__(self, name: str, type_: str) -> None:
        super().__init__(f"The work pool {name} exists and is of type {type_}, not {POOL_TYPE}.")
        self.name = name
        self.type = type_


class Gone(FlowsError):
    """Something was deleted in Prefect."""


class RunGone(Gone):
    def __init__(self, run_id: UUID) -> None:
        super().__init__(f"The flow run {run_id} is gone.")
        self.run_id = run_id


class DeploymentGone(Gone):
    def __init__(self, deployment_id: UUID) -> None:
        super().__init__(f"The deployment {deployment_id} is gone.")
        self.deployment_id = deployment_id


class ArtifactGone(Gone):
    def __init__(self, artifact_id: UUID) -> None:
        super().__init__(f"The artifact {artifact_id} is gone.")
        self.artifact_id = artifact_id


class PoolGone(Gone):
    def __init__(self, name: str) -> None:
        super().__init__(f"The work pool {name} is gone.")
        self.name = name


class StateType(StrEnum):
    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
LIVE_STATES = tuple(state for state in StateType if state not in FINAL_STATES)


class StateRefused(FlowsError):
    """A rule of Prefect's forbids this state now."""

    def __init__(self, run_id: UUID, wanted: StateType, state: StateType | None, why: str) -> None:
        super().__init__(f"The flow run {run_id} is {state or 'unknown'} and cannot be {wanted}: {why}.")
        self.run_id = run_id
        self.wanted = wanted
        self.state = state
        self.why = why


class ClaimRefused(StateRefused):
    """The run is somebody else's, or may not start."""

    def __init__(self, run_id: UUID, state: StateType | None, why: str) -> None:
        super().__init__(run_id, StateType.PENDING, state, why)


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    name: str
    description: str = ""
    concurrency_limit: int | None = None
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class PoolView:
    name: str
    type: str
    description: str
    concurrency_limit: int | None
    paused: bool
    ready: bool  # a worker's heartbeat is fresh


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    flow_name: str
    name: str
    pool_name: str
    description: str = ""
    parameter_schema: Mapping[str, Any] = field(default_factory=dict)
    entrypoint: str  # module path, `package.module.function`
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Why a run waits: `code_name` becomes the name of its state, `message` what people read beside it."""

    code_name: str
    message: str


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    deployment_id: UUID
    name: str
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str
    waiting: Waiting
    scheduled_time: datetime  # of the enqueue: the pages show the run under this date for its whole life


@dataclass(frozen=True, kw_only=True)
class End:
    state_type: StateType
    message: str = ""

    def __post_init__(self) -> None:
        if not self.state_type.is_final:
            raise ValueError(f"{self.state_type} is no final state")


@dataclass(frozen=True, kw_only=True)
class RunView:
    id: UUID
    name: str
    tags: frozenset[str]
    state_type: StateType
    state_name: str
    message: str
    deployment_id: UUID | None
    pool_name: str | None  # None where the pool was deleted
    idempotency_key: str | None  # None where a person or a schedule made the run
    parameters: Mapping[str, Any]
    expected_start_time: datetime | None
    pause_timeout: datetime | None  # when the server will write FAILED on a paused run
    pause_reschedule: bool
    kept_from_polls: bool  # no worker of Prefect's is ever handed this run


@dataclass(frozen=True, kw_only=True)
class LogBlock:
    """Lines of one level; `level` as in `logging`."""

    time: datetime
    level: int
    text: str
