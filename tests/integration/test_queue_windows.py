"""Queue windows on a real Prefect server: what its pages show, and what becomes of the edges."""

import io
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo

import anyio
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from batchd_api.window_mirror import QueueWindow, WindowMirror
from batchd_flows.names import WINDOWS_POOL
from batchd_flows.orchestrator import Orchestrator
from batchd_flows.orchestrator_client import prefect_client
from batchd_flows.windows import Schedule, next_change, parse_schedule
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
# How far the coming runs of these schedules reach for certain.
TOMORROW = timedelta(days=1, hours=1)


@pytest.fixture(scope="module")
async def orchestrator(prefect_server: PrefectServer) -> AsyncIterator[Orchestrator]:
    async with Orchestrator(prefect_server.api_url, SecretStr(prefect_server.auth_string)) as orchestrator:
        yield orchestrator


@pytest.fixture(scope="module")
async def client(prefect_server: PrefectServer) -> AsyncIterator[PrefectClient]:
    """Prefect's own client, for what only people and tests do."""
    async with prefect_client(prefect_server.api_url, prefect_server.auth_string) as client:
        yield client


def schedule(name: str, begin: str, end: str, days: list[str] | None = None) -> Schedule:
    return parse_schedule(name, days, [{"begin": begin, "end": end}])


NIGHT = schedule("nights", "22:00", "06:00")
WEEKEND = schedule("weekends", "00:00", "00:00", ["Saturday", "Sunday"])
ALWAYS = parse_schedule("anytime", None, None)


class Scene:
    """A window mirror with queues that a test sets, and clocks that it moves."""

    def __init__(self, orchestrator: Orchestrator, client: PrefectClient, **queues: Schedule) -> None:
        self.orchestrator = orchestrator
        self.client = client
        self.queues = queues
        self.ahead = timedelta(0)
        self.seconds = 0.0
        self.zone = BERLIN
        self.restart()

    def restart(self) -> None:
        self.mirror = WindowMirror(
            lambda: [QueueWindow(queue_name=name, schedule=each) for name, each in self.queues.items()],
            self.orchestrator,
            self.zone,
            worker_name="dispatcher-1",
            clock=self.now,
            seconds=lambda: self.seconds,
        )

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def step(self, later_seconds: float = 0) -> bool:
        self.seconds += later_seconds
        return await self.mirror.step()

    async def deployment(self, queue: str) -> DeploymentResponse:
        return await self.client.read_deployment_by_name(f"queue window/{queue} window")

    async def runs(self, queue: str) -> list[FlowRun]:
        """By their times."""
        ids = FlowRunFilterDeploymentId(any_=[(await self.deployment(queue)).id])
        return await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(deployment_id=ids), sort=FlowRunSort.EXPECTED_START_TIME_ASC
        )

    async def coming(self, queue: str, count: int = 6) -> list[FlowRun]:
        """The scheduler makes three runs a rule, within some seconds of a write."""
        assert version("sqlalchemy") < "2.1", "Prefect 3.8's scheduler inserts no run with SQLAlchemy 2.1"

        async def enough() -> bool:
            return len(await self.runs(queue)) >= count

        await until(enough)
        return await self.runs(queue)

    async def rules(self, queue: str) -> set[str]:
        return {str(each.slug) for each in (await self.deployment(queue)).schedules}


def zone_of_another_world() -> ZoneInfo:
    """UTC by a name that Prefect does not know."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    utc = struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    return ZoneInfo.from_file(io.BytesIO(b"TZif" + bytes(16) + counts + utc), key="Mars/Olympus")


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.2)


def edges_from(window: Schedule, at: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count and (edge := next_change(window, at, BERLIN)) is not None:
        found.append(edge)
        at = edge
    return found


def times(runs: list[FlowRun]) -> list[datetime]:
    return [run.expected_start_time for run in runs if run.expected_start_time is not None]


async def test_people_see_when_a_queue_opens_and_closes_next(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, night=NIGHT, free=ALWAYS)
    assert not await scene.step()
    started = datetime.now(UTC)
    runs = await scene.coming("night")
    # Three a rule: of twelve edges a week those that are certain to be there.
    expected = edges_from(NIGHT, started, 4)
    near = [at for at in times(runs) if started < at <= expected[-1]]
    assert near == expected

    deployment = await scene.deployment("night")
    assert deployment.description == (
        "Queue night opens daily 22:00, closes daily 06:00 (Europe/Berlin). Schedule: nights."
    )
    assert deployment.tags == ["queue:night"]
    assert deployment.work_pool_name == WINDOWS_POOL
    assert deployment.entrypoint == "batchd_flows.queue_window.queue_window"
    assert (await scene.deployment("free")).description == "Queue free is always open. Schedule: anytime."
    assert (await scene.deployment("free")).schedules == []

    await scene.step(later_seconds=100)  # they are named once they are there
    for run in await scene.runs("night"):
        assert run.expected_start_time is not None
        local = run.expected_start_time.astimezone(BERLIN)
        edge = {22: "opens", 6: "closes"}[local.hour]
        assert run.parameters == {"queue": "night", "edge": edge}
        assert run.name == f"night {edge} {local:%a %H:%M}"

    pool = await orchestrator.read_pool(WINDOWS_POOL)
    assert pool is not None
    assert (pool.concurrency_limit, pool.paused, pool.ready) == (None, False, True)


async def test_what_is_unchanged_is_not_written_again(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, night=NIGHT, free=ALWAYS)
    await scene.step()
    before = [await scene.deployment(name) for name in ("night", "free")]
    ids = [run.id for run in await scene.coming("night")]
    await scene.step()
    await scene.step(later_seconds=1000)  # looks at what is really there
    scene.restart()
    await scene.step()
    after = [await scene.deployment(name) for name in ("night", "free")]
    assert [each.updated for each in after] == [each.updated for each in before]
    assert [run.id for run in await scene.runs("night")] == ids


async def test_a_changed_schedule_replaces_the_rules_and_the_coming_runs(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, night=NIGHT)
    await scene.step()
    await scene.coming("night")
    first = await scene.deployment("night")
    scene.queues["night"] = schedule("nights", "21:15", "06:00")
    await scene.step()
    assert await scene.rules("night") == {"opens-2115", "closes-0600"}
    assert (await scene.deployment("night")).id == first.id
    opening = {at.astimezone(BERLIN).strftime("%H:%M") for at in times(await scene.coming("night"))}
    assert opening == {"21:15", "06:00"}

    scene.queues["night"] = ALWAYS
    await scene.step()
    assert await scene.rules("night") == set()
    assert await scene.runs("night") == []


async def test_the_window_of_a_deleted_queue_goes(orchestrator: Orchestrator, client: PrefectClient) -> None:
    scene = Scene(orchestrator, client, night=NIGHT, weekend=WEEKEND)
    await scene.step()
    await scene.deployment("weekend")
    del scene.queues["weekend"]
    scene.restart()  # while nobody looked
    await scene.step()
    await scene.deployment("night")
    with pytest.raises(ObjectNotFound):
        await scene.deployment("weekend")


async def test_an_edge_that_has_come_is_settled_once_and_says_what_the_clock_says(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, settled=NIGHT)
    assert not await scene.step()
    await scene.coming("settled")
    assert not await scene.step()
    scene.ahead = TOMORROW  # as after a day without anybody who looked
    assert await scene.step()
    ended = [run for run in await scene.runs("settled") if run.state_name == "Completed"]
    assert len(ended) in (2, 3)
    opens, closes = "closed: nights opens at 22:00", "open: nights closes at 06:00"
    for run in ended:
        assert run.state is not None
        assert str(run.state.message).startswith((opens, closes))
    assert not await scene.step()


async def test_a_run_that_a_person_starts_from_the_form_is_settled(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, free=ALWAYS)
    await scene.step()
    run = await client.create_flow_run_from_deployment((await scene.deployment("free")).id)
    assert await scene.step()
    ended = await client.read_flow_run(run.id)
    assert ended.state is not None
    assert (ended.state.name, ended.state.message) == ("Completed", "open: anytime is always open")


async def test_what_people_pause_stays_paused_and_harms_nothing(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, night=NIGHT, weekend=WEEKEND)
    await scene.step()
    await scene.coming("night")
    paused = (await scene.deployment("weekend")).id
    await client.update_deployment(paused, DeploymentUpdate(paused=True))
    await client.update_work_pool(WINDOWS_POOL, WorkPoolUpdate(is_paused=True))
    scene.queues["weekend"] = schedule("weekends", "01:00", "02:00", ["Sunday"])
    scene.ahead = TOMORROW
    assert await scene.step(later_seconds=1000)
    assert await scene.rules("weekend") == {"opens-0100", "closes-0200"}
    assert (await scene.deployment("weekend")).paused
    assert (await client.read_work_pool(WINDOWS_POOL)).is_paused
    await client.update_work_pool(WINDOWS_POOL, WorkPoolUpdate(is_paused=False))


async def test_what_people_change_or_delete_is_put_right(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, night=NIGHT, weekend=WEEKEND)
    await scene.step()
    await client.delete_deployment((await scene.deployment("weekend")).id)
    night = await scene.deployment("night")
    [closing] = [each for each in night.schedules if each.slug == "closes-0600"]
    await client.delete_deployment_schedule(night.id, closing.id)
    await scene.step(later_seconds=1000)
    assert await scene.rules("weekend") == {"opens-0000", "closes-0000"}
    assert await scene.rules("night") == {"opens-2200", "closes-0600"}

    await client.delete_work_pool(WINDOWS_POOL)
    await scene.step(later_seconds=100)  # the heartbeat finds out
    await scene.step()
    assert (await scene.deployment("night")).work_pool_name == WINDOWS_POOL
    assert (await scene.deployment("night")).id == night.id


async def test_the_runs_of_windows_are_nobodys_jobs(
    orchestrator: Orchestrator, client: PrefectClient
) -> None:
    scene = Scene(orchestrator, client, night=NIGHT)
    await scene.step()
    await scene.coming("night")
    assert [run for run in await orchestrator.live_runs() if run.pool_name == WINDOWS_POOL] == []


async def test_a_window_that_prefect_refuses_hinders_no_other(
    orchestrator: Orchestrator, client: PrefectClient, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(orchestrator, client, far=NIGHT, free=ALWAYS)
    scene.zone = zone_of_another_world()
    scene.restart()
    await scene.step()
    await scene.step(later_seconds=1000)
    await scene.deployment("free")
    [said] = [record.getMessage() for record in caplog.records if record.name == "batchd.windows"]
    assert "(far)" in said
    assert "Mars/Olympus" in said


async def test_prefects_own_database_is_kept_small(client: PrefectClient) -> None:
    """Asked of the running server: what it really goes by, not what it was told."""
    settings = (await client.request("GET", "/admin/settings")).json()["server"]
    vacuum = settings["services"]["db_vacuum"]
    assert set(vacuum["enabled"]) == {"events", "flow_runs"}  # with runs go their logs, and what is orphaned
    assert vacuum["retention_period"] == "P2D"
    assert settings["services"]["event_persister"]["enabled"]  # without it no event is ever removed
    assert settings["events"]["retention_period"] == "P2D"
