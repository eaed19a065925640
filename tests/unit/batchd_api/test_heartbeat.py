"""What a dispatcher says of itself while Prefect answers it, and while it does not."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from batchd_api.db.tables import dispatchers
from batchd_api.heartbeat import GIVES_WAY_SECONDS, TAKES_NONE_SECONDS, Heartbeat
from batchd_api.planner import plan
from batchd_api.prefect_reach import ASK_SECONDS, PrefectReach
from batchd_api.world import WorldStore
from batchd_flows.orchestrator_records import OrchestratorUnavailable
from tests.ground import NOW, Installation


class Prefect:
    """As one dispatcher sees it, with that one's clock."""

    def __init__(self) -> None:
        self.seconds, self.asked, self.is_there = 1000.0, 0, True
        self.reach = PrefectReach(self.answers, seconds=lambda: self.seconds)
        self.reach.note(None)

    async def answers(self) -> bool:
        self.asked += 1
        return self.is_there


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def heart(here: Installation, prefect: Prefect) -> Heartbeat:
    return Heartbeat(
        here.database, "d", prefect.reach, workers=3, queues=("default",), clock=lambda: here.now
    )


def takes(here: Installation) -> int:
    with here.database.read() as connection:
        query = select(dispatchers.c.workers).where(dispatchers.c.name == "d")
        return int(connection.execute(query).scalar_one())


def test_without_prefect_it_soon_says_that_it_takes_none_and_at_once_when_that_is_over(
    here: Installation, prefect: Prefect, heart: Heartbeat
) -> None:
    heart.beat()
    prefect.reach.note("away")
    prefect.seconds += TAKES_NONE_SECONDS - 1
    heart.beat()
    assert (takes(here), heart.is_due) == (3, False), "a restart of Prefect is no matter"
    prefect.seconds += 1
    assert heart.is_due
    heart.beat()
    assert (takes(here), heart.is_due) == (0, False)
    prefect.reach.note(None)
    assert heart.is_due
    heart.beat()
    assert takes(here) == 3


@pytest.mark.parametrize(("others_take", "gives_way"), [(None, False), (0, False), (2, True)])
def test_it_gives_way_to_one_that_reaches_prefect_and_to_nobody_else(
    here: Installation, prefect: Prefect, heart: Heartbeat, others_take: int | None, gives_way: bool
) -> None:
    if others_take is not None:
        here.dispatcher("other", workers=others_take)
    prefect.reach.note("away")
    prefect.seconds += GIVES_WAY_SECONDS - 1
    assert not heart.beat().gives_way
    prefect.seconds += 1
    assert heart.beat().gives_way is gives_way
    prefect.reach.note(None)
    assert not heart.beat().gives_way


def test_jobs_go_to_who_reaches_prefect_and_say_so_where_nobody_does(here: Installation) -> None:
    world = WorldStore(here.database, here.ground.job_types, {}, ZoneInfo("UTC"))
    here.dispatcher("cut-off", workers=0)
    job = here.enqueue()
    reason = plan(world.look(NOW, prefect_down=None).world).reasons[job]
    assert reason.code == "no-dispatcher"
    assert reason.text == "no dispatcher that serves queue default and is not draining reaches Prefect"
    here.dispatcher("d")
    (start,) = plan(world.look(NOW, prefect_down=None).world).starts
    assert start.dispatcher == "d"


def test_a_job_of_a_tied_queue_is_not_given_to_one_that_does_not_reach_prefect(here: Installation) -> None:
    world = WorldStore(here.database, here.ground.job_types, {}, ZoneInfo("UTC"))
    here.set_queue("default", work_pool="k8s")
    here.dispatcher("a-cut-off", workers=0)
    here.enqueue()
    assert plan(world.look(NOW, prefect_down=None).world).starts == ()
    here.dispatcher("d")
    assert [start.dispatcher for start in plan(world.look(NOW, prefect_down=None).world).starts] == ["d"]


@pytest.mark.anyio
async def test_who_seldom_needs_prefect_asks_now_and_then(prefect: Prefect) -> None:
    await prefect.reach.ask()
    prefect.seconds += ASK_SECONDS
    for _ in range(2):
        await prefect.reach.ask()
    assert prefect.asked == 1
    prefect.is_there = False
    prefect.seconds += ASK_SECONDS
    with pytest.raises(OrchestratorUnavailable):
        await prefect.reach.ask()


def test_how_long_it_is_away_counts_from_the_first_time_it_did_not_answer(prefect: Prefect) -> None:
    assert [prefect.reach.note("one way"), prefect.reach.note("another")] == [True, False]
    prefect.seconds += 5
    assert (prefect.reach.away_seconds, prefect.reach.down) == (5, "another")
    assert prefect.reach.note(None)
    assert prefect.reach.away_seconds == 0
