"""What happens in Prefect, as it happens: its event stream. Hints only; the truth is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from prefect.events.clients import PrefectEventSubscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings
from pydantic import SecretStr

from batchd_flows.orchestrator_records import OrchestratorUnavailable

RUN = "prefect.flow-run."
POOL = "prefect.work-pool."
QUEUE = "prefect.work-queue."


@dataclass(frozen=True, kw_only=True)
class RunChanged:
    """A run took this state."""

    run_id: UUID
    state_type: str
    state_name: str


@dataclass(frozen=True, kw_only=True)
class PoolsChanged:
    """A work pool or a work queue was paused, resumed or edited."""


async def happenings(api_url: str, auth_string: SecretStr | None) -> AsyncIterator[RunChanged | PoolsChanged]:
    """Until the connection ends; then OrchestratorUnavailable, and what was missed must be looked for."""
    wanted = EventFilter(event=EventNameFilter(prefix=[RUN, POOL, QUEUE]))
    try:
        async with _connected(api_url, auth_string, wanted) as events:
            async for event in events:
                if event.event.startswith((POOL, QUEUE)):
                    yield PoolsChanged()
                    continue
                state_type = event.resource.get("prefect.state-type")
                if state_type and event.resource.id.startswith(RUN):
                    yield RunChanged(
                        run_id=UUID(event.resource.id.removeprefix(RUN)),
                        state_type=state_type,
                        state_name=event.resource.get("prefect.state-name") or "",
                    )
    except GeneratorExit:
        raise
    except Exception as error:  # the subscriber raises what its websocket library raises, and bare Exception
        raise OrchestratorUnavailable(str(error) or type(error).__name__) from error
    raise OrchestratorUnavailable("it closed the event stream")


@asynccontextmanager
async def _connected(
    api_url: str, auth_string: SecretStr | None, wanted: EventFilter
) -> AsyncIterator[PrefectEventSubscriber]:
    # It takes its credentials from Prefect's settings alone, when it is made and when it connects.
    settings = {} if auth_string is None else {PREFECT_API_AUTH_STRING: auth_string.get_secret_value()}
    with temporary_settings(settings):
        subscriber = PrefectEventSubscriber(api_url=api_url, filter=wanted, reconnection_attempts=0)
        await subscriber.__aenter__()
    try:
        yield subscriber
    finally:
        await subscriber.__aexit__(None, None, None)
