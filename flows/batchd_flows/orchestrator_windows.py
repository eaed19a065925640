"""Queue windows in Prefect: one deployment a queue, whose coming runs show when it opens and closes next."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun
from prefect.client.schemas.objects import StateType as PrefectStateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import RRuleSchedule
from prefect.client.schemas.sorting import FlowRunSort

from batchd_flows.names import RUN_NAME_LENGTH, WINDOWS_POOL, slug
from batchd_flows.orchestrator import PAGE, Orchestrator
from batchd_flows.orchestrator_client import translated
from batchd_flows.orchestrator_records import (
    LIVE_STATES,
    POOL_TYPE,
    End,
    PoolGone,
    PoolOfAnotherType,
    PoolSpec,
    RunGone,
    StateRefused,
    StateType,
)
from batchd_flows.orchestrator_text import storable
from batchd_flows.queue_window import ENTRYPOINT, FLOW_NAME
from batchd_flows.window_rules import Edge
from batchd_flows.windows import WEEKDAYS

POOL_DESCRIPTION = (
    "When each queue opens and closes next. A run here is only a reminder: it wakes the planner, which looks"
    " at the clock. Nothing breaks when one is missed, paused or deleted."
)
QUEUE_TAG = "queue:"
PARAMETER_SCHEMA = {
    "type": "object",
    "properties": {
        "queue": {"type": "string", "title": "queue", "position": 0},
        "edge": {"type": "string", "title": "what happens then", "position": 1},
    },
}


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """`rules`: slug and RRULE, by slug; a slug begins with its edge's word. No rules, no zone: it is ""."""

    queue_name: str
    description: str
    rules: tuple[tuple[str, str], ...]
    zone_name: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is there. `spec` is None where people or an older version made something else of it."""

    deployment_id: UUID
    queue_name: str
    spec: WindowSpec | None


@dataclass(frozen=True, kw_only=True)
class DueEdge:
    """A run whose time has come. `edge` is None for one that a person started."""

    run_id: UUID
    deployment_id: UUID
    edge: Edge | None
    scheduled_time: datetime


class WindowBoard:
    """Speaks through the orchestrator's client, with its translations and its one write at a time."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    async def ensure_pool(self) -> None:
        """Have the pool, without limit; one that a person has paused stays so. Raises PoolOfAnotherType."""
        pool = await self._orchestrator.read_pool(WINDOWS_POOL)
        if pool is None:
            await self._orchestrator.ensure_pool(PoolSpec(name=WINDOWS_POOL, description=POOL_DESCRIPTION))
        elif pool.type != POOL_TYPE:
            raise PoolOfAnotherType(WINDOWS_POOL, pool.type)

    async def read_windows(self) -> dict[str, Window]:
        """Every window there is, by its queue's name."""
        found: dict[str, Window] = {}
        flow = FlowFilter(name=FlowFilterName(any_=[FLOW_NAME]))  # not by pool, which people can delete
        for offset in range(0, 1_000_000, PAGE):
            with translated():
                page = await self._orchestrator.client.read_deployments(
                    flow_filter=flow, limit=PAGE, offset=offset
                )
            found |= {window.queue_name: window for each in page if (window := _window(each))}
            if len(page) < PAGE:
                break
        return found

    async def write_window(self, spec: WindowSpec) -> UUID:
        """Make it as said. Prefect then remakes all its coming runs. Raises PoolGone."""
        client = self._orchestrator.client
        async with self._orchestrator.writing(PoolGone(WINDOWS_POOL)):
            flow_id = await client.create_flow_from_name(FLOW_NAME)
            # With the name of one that exists this changes that one, in one transaction, schedules too.
            return await client.create_deployment(
                flow_id=flow_id,
                name=_deployment_name(spec.queue_name),
                schedules=[_schedule(rule_slug, rrule, spec) for rule_slug, rrule in spec.rules],
                **_fixed_fields(spec),
            )

    async def delete_window(self, deployment_id: UUID) -> None:
        """Its coming runs go with it. Gone already is fine."""
        await self._orchestrator.delete_deployment(deployment_id)

    async def due_edges(self, deployment_ids: Collection[UUID], now: datetime) -> list[DueEdge]:
        """The runs of these windows that should have come by now, the oldest first; a page at most."""
        runs = await self._live_runs(deployment_ids, until=now)
        return [due for run in runs if (due := _due_edge(run)) is not None]

    async def settle(self, run_id: UUID, message: str) -> None:
        """Completed, whatever a person made of it meanwhile."""
        end = End(state_type=StateType.COMPLETED, message=message)
        with suppress(RunGone):
            try:
                await self._orchestrator.report_end(run_id, end)
            except StateRefused:
                await self._orchestrator.report_end(run_id, end, force=True)

    async def name_runs(self, queue_names: Mapping[UUID, str], zone: ZoneInfo, limit: int) -> int:
        """Call the coming runs what they are, `night opens Mon 22:00`: Prefect names them by chance.

        `queue_names`: by deployment. Returns how many were renamed, at most `limit`.
        """
        runs = await self._live_runs(queue_names)
        named = [(run, _run_name(run, queue_names, zone)) for run in runs]
        wrong = [(run.id, name) for run, name in named if name is not None and name != run.name][:limit]
        for run_id, name in wrong:
            with suppress(RunGone):
                await self._orchestrator.rename(run_id, name)
        return len(wrong)

    async def _live_runs(
        self, deployment_ids: Collection[UUID], until: datetime | None = None
    ) -> list[FlowRun]:
        if not deployment_ids:
            return []
        live = FlowRunFilterStateType(any_=[PrefectStateType(state.value) for state in LIVE_STATES])
        fields: dict[str, Any] = {
            "deployment_id": FlowRunFilterDeploymentId(any_=list(deployment_ids)),
            "state": FlowRunFilterState(type=live),
        }
        if until is not None:
            fields["expected_start_time"] = FlowRunFilterExpectedStartTime.model_validate({"before_": until})
        with translated():
            return await self._orchestrator.client.read_flow_runs(
                flow_run_filter=FlowRunFilter(**fields),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=PAGE,
            )


def _deployment_name(queue_name: str) -> str:
    """With a space, which no deployment of a job type has: a type may be called like our flow."""
    return f"{slug(queue_name)} window"


def _fixed_fields(spec: WindowSpec) -> dict[str, Any]:
    """Under Prefect's names, as both a write and a look at what is there use them."""
    return {
        "description": storable(spec.description),
        "tags": [QUEUE_TAG + spec.queue_name],
        "entrypoint": ENTRYPOINT,
        "work_pool_name": WINDOWS_POOL,
        "parameters": {"queue": spec.queue_name},
        "parameter_openapi_schema": PARAMETER_SCHEMA,
        "enforce_parameter_schema": False,
    }


def _schedule(rule_slug: str, rrule: str, spec: WindowSpec) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=RRuleSchedule(rrule=rrule, timezone=spec.zone_name),
        slug=rule_slug,
        parameters={"edge": _edge_of_slug(rule_slug)},
    )


def _edge_of_slug(rule_slug: str) -> str:
    return rule_slug.partition("-")[0]


def _window(deployment: DeploymentResponse) -> Window | None:
    """None: not ours, of a job type called like our flow."""
    names = [tag.removeprefix(QUEUE_TAG) for tag in deployment.tags if tag.startswith(QUEUE_TAG)]
    queue_name = names[0] if names else ""
    if deployment.name != _deployment_name(queue_name):
        return None
    return Window(deployment_id=deployment.id, queue_name=queue_name, spec=_spec(deployment, queue_name))


def _spec(deployment: DeploymentResponse, queue_name: str) -> WindowSpec | None:
    rules = [_rule(schedule) for schedule in deployment.schedules]
    zones = {zone for _, _, zone in rules}
    spec = WindowSpec(
        queue_name=queue_name,
        description=deployment.description or "",
        rules=tuple(sorted((rule_slug, rrule) for rule_slug, rrule, _ in rules)),
        zone_name=zones.pop() if len(zones) == 1 else "",
    )
    fixed = _fixed_fields(spec)
    return spec if fixed == {name: getattr(deployment, name) for name in fixed} else None


def _rule(schedule: DeploymentSchedule) -> tuple[str, str, str]:
    """Slug, rule and zone; empty words for what we would not write."""
    rule, rule_slug = schedule.schedule, schedule.slug or ""
    if not isinstance(rule, RRuleSchedule) or schedule.parameters != {"edge": _edge_of_slug(rule_slug)}:
        return rule_slug, "", ""
    return rule_slug, rule.rrule, rule.timezone or ""


def _due_edge(run: FlowRun) -> DueEdge | None:
    if run.deployment_id is None or run.expected_start_time is None:
        return None
    return DueEdge(
        run_id=run.id,
        deployment_id=run.deployment_id,
        edge=_edge(run),
        scheduled_time=run.expected_start_time,
    )


def _edge(run: FlowRun) -> Edge | None:
    word = run.parameters.get("edge")
    return Edge(word) if word in set(Edge) else None


def _run_name(run: FlowRun, queue_names: Mapping[UUID, str], zone: ZoneInfo) -> str | None:
    edge, queue_name = _edge(run), queue_names.get(run.deployment_id) if run.deployment_id else None
    if edge is None or queue_name is None or run.expected_start_time is None:
        return None
    local = run.expected_start_time.astimezone(zone)
    clock = local.strftime("%H:%M:%S").removesuffix(":00")
    words = f" {edge} {WEEKDAYS[local.weekday()][:3]} {clock}"
    room = RUN_NAME_LENGTH - len(words)
    return (queue_name if len(queue_name) <= room else queue_name[: room - 1] + "…") + words
