"""Prefect's states as we write them, and its runs as we read them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.actions import DeploymentFlowRunCreate, LogCreate, StateCreate
from prefect.client.schemas.objects import (
    FlowRun,
    FlowRunPolicy,
    State,
    StateDetails,
    WorkPool,
    WorkPoolStatus,
)
from prefect.client.schemas.objects import StateType as PrefectStateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import to_state_create

from batchd_flows.orchestrator_records import (
    End,
    LogBlock,
    PoolView,
    RunSpec,
    RunView,
    StateType,
    Waiting,
)
from batchd_flows.orchestrator_text import literal_parameters, storable

LOGGER_NAME = "batchd"
REPEATED = "This run has already made this state transition."  # our own request, whose first answer was lost
# The mark of a run that Prefect hands to nobody. It is meant for a run whose process waits to try again.
KEPT_FROM_POLLS = "in_process"
# How far a dispatcher's clock may be ahead of the server's: a Pending with a time to come makes Running wait.
CLOCK_LEEWAY = timedelta(hours=1)


def kept_from_polls() -> FlowRunPolicy:
    return FlowRunPolicy(retry_type=KEPT_FROM_POLLS)


def waiting_state(waiting: Waiting, scheduled_time: datetime) -> State[Any]:
    return State(
        type=PrefectStateType.SCHEDULED,
        name=storable(waiting.code_name),
        message=storable(waiting.message),
        state_details=StateDetails(scheduled_time=scheduled_time),
    )


def pending_state() -> State[Any]:
    """With a time of its own: else the waiting state's is copied, and Running may have to wait for it."""
    details = StateDetails(scheduled_time=datetime.now(UTC) - CLOCK_LEEWAY)
    return State(type=PrefectStateType.PENDING, state_details=details)


def running_state() -> State[Any]:
    return State(type=PrefectStateType.RUNNING)


def held_state(message: str) -> State[Any]:
    """Paused for as long as people like (no timeout), and without a process to go back to (reschedule)."""
    return State(
        type=PrefectStateType.PAUSED,
        message=storable(message),
        state_details=StateDetails(pause_reschedule=True),
    )


def end_state(end: End) -> State[Any]:
    return State(type=PrefectStateType(end.state_type.value), message=storable(end.message))


def bulk_change(run_ids: Sequence[UUID], state: State[Any], *, force: bool) -> dict[str, Any]:
    """The body that sets one state for all of them; Prefect's client has no method for it."""
    creation = to_state_create(state)
    creation.state_details.transition_id = uuid4()
    return {
        "flow_runs": {"id": {"any_": [str(run_id) for run_id in run_ids]}},
        "state": creation.model_dump(mode="json", serialize_as_any=True),
        "force": force,
        "limit": len(run_ids),
    }


def took(answer: dict[str, Any]) -> set[UUID]:
    """Of an answer to `bulk_change`, the runs that have the state; a run that is gone is not in it."""
    return {
        UUID(result["flow_run_id"])
        for result in answer["results"]
        if result["status"] == SetStateStatus.ACCEPT or result["details"].get("reason") == REPEATED
    }


def run_creation(spec: RunSpec) -> dict[str, Any]:
    """The body of a creation; Prefect's own method for it cannot say `empirical_policy`."""
    state = waiting_state(spec.waiting, spec.scheduled_time)
    creation = DeploymentFlowRunCreate(
        name=storable(spec.name),
        tags=[storable(tag) for tag in spec.tags],
        parameters=literal_parameters(spec.parameters),
        enforce_parameter_schema=False,  # the job was checked when it was taken; types change later
        idempotency_key=spec.idempotency_key,
        empirical_policy=kept_from_polls(),
        state=StateCreate(
            type=state.type, name=state.name, message=state.message, state_details=state.state_details
        ),
    )
    return creation.model_dump(mode="json", exclude_unset=True)


def log_creation(run_id: Any, record: LogBlock) -> LogCreate:
    return LogCreate(
        name=LOGGER_NAME,
        level=record.level,
        message=record.text,
        timestamp=record.time,
        flow_run_id=run_id,
    )


def run_view(run: FlowRun) -> RunView:
    state = run.state
    details = state.state_details if state is not None else StateDetails()
    return RunView(
        id=run.id,
        name=run.name,
        tags=frozenset(run.tags),
        state_type=StateType((run.state_type or PrefectStateType.PENDING).value),
        state_name=run.state_name or "",
        message=(state.message if state is not None else None) or "",
        deployment_id=run.deployment_id,
        pool_name=run.work_pool_name,
        idempotency_key=run.idempotency_key,
        parameters=run.parameters,
        expected_start_time=run.expected_start_time,
        pause_timeout=details.pause_timeout,
        pause_reschedule=details.pause_reschedule,
        kept_from_polls=run.empirical_policy.retry_type == KEPT_FROM_POLLS,
    )


def pool_view(pool: WorkPool) -> PoolView:
    return PoolView(
        name=pool.name,
        type=pool.type,
        description=pool.description or "",
        concurrency_limit=pool.concurrency_limit,
        paused=pool.is_paused,
        ready=pool.status == WorkPoolStatus.READY,
    )
