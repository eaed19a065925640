"""Five thousand jobs in one queue are no more work for those who look than a few hundred. FAULTS.md: H8."""

from __future__ import annotations

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, insert

from batchd_api.books import LOOK_AHEAD, Books
from batchd_api.db.tables import jobs
from batchd_api.forms import Forms
from batchd_api.hands import Hands
from batchd_api.mirror import Mirror
from batchd_api.planner import plan
from batchd_api.pools import Pools
from batchd_api.prefect_words import PrefectWords
from batchd_api.watch import Watch
from batchd_api.world import WorldStore, beat
from batchd_api.world_jobs import PAGE
from tests.fake_prefect import FakePrefect
from tests.ground import NOW, Installation, statements

MANY = 5000


@pytest.fixture
def full(here: Installation) -> Installation:
    """The queue `default` with so many jobs that wait."""
    row = dict(here.row(here.enqueue())._mapping)
    with here.database.write() as connection:
        connection.execute(
            insert(jobs), [row | {"id": 10 + n, "seq": 10 + n, "mirrored": -1} for n in range(MANY - 1)]
        )
    assert here.count(jobs) == MANY
    return here


def world_of(here: Installation) -> WorldStore:
    beat(here.database, "d", 1, None, NOW)
    return WorldStore(here.database, here.ground.job_types, {}, ZoneInfo("UTC"))


def planned(world: WorldStore) -> int:
    """One round of the planner; how many jobs it looked at."""
    seen = world.look(NOW, prefect_down=None)
    world.apply(seen, plan(seen.world))
    return len(seen.world.jobs)


def test_h8_a_round_of_the_planner_asks_as_much_of_5000_jobs_as_of_100(full: Installation) -> None:
    world = world_of(full)
    assert planned(world) == PAGE
    planned(world)  # one has got its turn, and one more comes into sight
    with statements(full) as of_many:
        seen = planned(world)
    with full.database.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.id > 10 + PAGE))
    with statements(full) as of_few:
        assert planned(world) == seen
    assert seen == PAGE
    assert reads(of_many) == reads(of_few)
    assert len(of_many) < 20


def reads(asked: list[str]) -> list[str]:
    return [words for words in asked if words.startswith("SELECT")]


class Rig:
    """A mirror of these rows to a Prefect that counts."""

    def __init__(self, here: Installation) -> None:
        self.prefect = FakePrefect()
        prefect: Any = self.prefect
        books, hands = Books(here.database), Hands(here.database)
        types = here.ground.job_types
        words = PrefectWords(types, installation_id="i", workers=1, variables={})
        pools = Pools(books, hands, prefect, words, worker_name="d")
        forms = Forms(
            here.database, prefect, types, installation_id="i", variables={}, user="root", clock=lambda: NOW
        )
        watch = Watch(books, hands, prefect, forms, pools, wake=lambda: None, clock=lambda: NOW)
        self.mirror = Mirror(books, prefect, words, pools, watch, log_limit_bytes=1000)

    async def come_to_rest(self) -> int:
        """How many rounds that took."""
        rounds = 1
        while await self.mirror.step():
            rounds += 1
            assert rounds < MANY
        return rounds


@pytest.mark.slow  # three hundred runs are made
def test_h8_prefect_sees_the_first_300_of_5000_and_an_idle_round_asks_little_of_the_database(
    full: Installation,
) -> None:
    planned(world_of(full))

    async def runs_and_statements() -> tuple[int, int, int]:
        rig = Rig(full)
        await rig.come_to_rest()
        made = len(rig.prefect.runs)
        with statements(full) as asked:
            assert not await rig.mirror.step()
        return made, len(rig.prefect.runs), len(asked)

    made, later, asked = asyncio.run(runs_and_statements())
    assert made == later
    assert LOOK_AHEAD <= made <= LOOK_AHEAD + 1  # and the one whose turn has come
    assert asked < 20
