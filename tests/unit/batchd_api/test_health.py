"""What load balancers are told."""

from datetime import UTC, datetime

from batchd_api.db.session import Database
from batchd_api.services.health import Health, ServerState
from batchd_api.world import beat
from tests.prefect_server import free_port


def test_dispatchers_count_while_they_are_seen(here):
    health = Health(here.database, here.ground.clock)
    beat(here.database, "d", 1, None, here.now)
    assert health.report().record()["dispatchers"] == 1


def test_a_database_that_is_away_is_said_and_makes_it_unwell(here):
    away = Database(f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none")
    report = Health(away, here.ground.clock).report()
    away.close()
    assert not report.is_well
    assert report.record()["alive"]
    assert report.database.startswith("The database cannot be reached")


def test_prefect_is_starting_until_it_has_answered_or_failed_to():
    state, failing = ServerState(), ServerState()
    assert state.sentence() == "starting"
    state.note(True)
    assert state.sentence() == "ok"
    failing.failed_to_start()
    assert failing.sentence().startswith("down since ")


def test_prefect_is_down_since_the_first_miss():
    moments = iter(datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (1, 2))
    state = ServerState(lambda: next(moments))
    state.note(True)
    assert state.sentence() == "ok"
    state.note(False)
    state.note(False)
    assert state.sentence() == "down since 2026-11-24T01:00:00.000000Z"
