"""How often all of Prefect's live runs are looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from batchd_api import watch
from batchd_api.watch import LOOK_SECONDS, QUIET_SECONDS, Watch
from batchd_flows.orchestrator_events import RunChanged

pytestmark = pytest.mark.anyio


class Prefect:
    """Counts the looks."""

    def __init__(self) -> None:
        self.looks = 0

    async def live_runs(self) -> list[Any]:
        self.looks += 1
        return []

    async def read_run(self, run_id: object) -> None:
        return None


class Books:
    def __init__(self) -> None:
        self.live: dict[str, Any] = {}

    def live_runs(self) -> dict[str, Any]:
        return self.live

    def going(self) -> set[str]:
        return set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Seconds to be set."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def eyes() -> Any:
    prefect, books = Prefect(), Books()
    parts: list[Any] = [books, None, prefect, None, SimpleNamespace(look_again=lambda: None)]
    made = Watch(*parts, wake=lambda: None)
    return SimpleNamespace(watch=made, prefect=prefect)


async def looks_after(eyes: Any, clock: SimpleNamespace, seconds: float) -> bool:
    before = eyes.prefect.looks
    clock.now += seconds
    await eyes.watch.step()
    return bool(eyes.prefect.looks > before)


async def test_where_nothing_lives_and_nothing_should_it_is_looked_at_less_often(eyes, clock):
    assert await looks_after(eyes, clock, 0)
    assert not await looks_after(eyes, clock, QUIET_SECONDS - 1)
    assert await looks_after(eyes, clock, 1)


async def test_from_a_write_on_it_is_looked_at_as_often_as_ever(eyes, clock):
    assert await looks_after(eyes, clock, 0)
    eyes.watch.own_write("run", "InQueue")
    assert await looks_after(eyes, clock, LOOK_SECONDS)
    assert not await looks_after(eyes, clock, LOOK_SECONDS)


async def test_what_was_missed_is_looked_at_at_once(eyes, clock):
    assert await looks_after(eyes, clock, 0)
    eyes.watch.look_again()
    assert await looks_after(eyes, clock, 0)


@pytest.mark.parametrize("order", [("CANCELLED", "RUNNING"), ("RUNNING", "CANCELLED")])
async def test_of_what_was_noticed_of_a_run_its_cancel_counts(eyes, clock, order):
    run_id = uuid4()
    for state in order:
        eyes.watch._note(RunChanged(run_id=run_id, state_type=state, state_name=state.capitalize()))
    seen = []

    async def look(noticed: UUID, *, is_cancel: bool = False) -> bool:
        seen.append((noticed, is_cancel))
        return False

    eyes.watch._look_at_run = look
    await eyes.watch.step()
    assert seen == [(run_id, True)]
