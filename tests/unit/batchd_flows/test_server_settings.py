import os
from pathlib import Path

import pytest
from prefect.settings.legacy import _get_valid_setting_names
from prefect.settings.models.root import Settings
from pydantic import SecretStr

from batchd_flows.server import (
    AuthStringUnusable,
    ServerSettings,
    client_environment,
    load_or_create_auth_string,
    server_environment,
)
from batchd_flows.server_settings import fingerprint


def settings(**changes: object) -> ServerSettings:
    fields: dict[str, object] = {
        "home": Path("/nowhere"),
        "port": 4321,
        "auth_string": SecretStr("batchd:secret"),
        "done_jobs_days": 2,
    }
    return ServerSettings(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("database_url", [None, SecretStr("postgresql+asyncpg://x/y")])
def test_prefect_knows_every_setting_we_set(database_url: SecretStr | None) -> None:
    names = set(server_environment(settings(database_url=database_url), base={}))
    names |= set(client_environment(settings(), base={}))
    assert names - _get_valid_setting_names(Settings) == {"DO_NOT_TRACK"}


def test_no_prefect_setting_of_ours_reaches_the_server() -> None:
    foreign = {
        "PREFECT_API_KEY": "k",
        "PREFECT_PROFILE": "mine",
        "PREFECT__SERVER_FINAL": "1",
        "PATH": "/bin",
    }
    environment = server_environment(settings(), base=foreign)
    assert "PREFECT_API_KEY" not in environment
    assert "PREFECT_PROFILE" not in environment
    assert "PREFECT__SERVER_FINAL" not in environment
    assert environment["PATH"] == "/bin"


def test_the_server_keeps_to_itself() -> None:
    environment = server_environment(settings(), base={})
    assert environment["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] == "batchd:secret"
    assert environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4321"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_finished_runs_are_kept_as_long_as_finished_jobs() -> None:
    environment = server_environment(settings(done_jobs_days=2), base={})
    assert environment["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events,flow_runs"
    assert environment["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"] == "172800"


def test_a_retention_below_what_prefect_allows_becomes_its_least() -> None:
    environment = server_environment(settings(done_jobs_days=0.001), base={})
    assert int(environment["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"]) > 3600


def test_no_retention_keeps_finished_runs_for_ever() -> None:
    environment = server_environment(settings(done_jobs_days=0), base={})
    assert environment["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events"


def test_prefect_gives_up_on_a_cancelled_run_only_after_the_largest_grace() -> None:
    environment = server_environment(settings(largest_grace_seconds=900), base={})
    name = "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS"
    assert float(environment[name]) > 900


def test_another_setting_or_secret_gives_another_fingerprint() -> None:
    assert fingerprint(settings()) == fingerprint(settings())
    assert fingerprint(settings()) != fingerprint(settings(done_jobs_days=3))
    assert fingerprint(settings()) != fingerprint(settings(auth_string=SecretStr("batchd:other")))


def test_the_auth_string_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "prefect"
    made = load_or_create_auth_string(path)
    assert load_or_create_auth_string(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(made.get_secret_value()) > 40
    assert [entry.name for entry in path.parent.iterdir()] == ["prefect"]


def test_two_auth_strings_are_never_alike(tmp_path: Path) -> None:
    assert load_or_create_auth_string(tmp_path / "a") != load_or_create_auth_string(tmp_path / "b")


def test_an_auth_string_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prefect"
    load_or_create_auth_string(path)
    path.chmod(0o640)
    with pytest.raises(AuthStringUnusable, match="0600"):
        load_or_create_auth_string(path)


def test_an_auth_string_without_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prefect"
    path.touch(mode=0o600)
    with pytest.raises(AuthStringUnusable, match="user:password"):
        load_or_create_auth_string(path)


def test_prefect_looks_into_no_home_of_the_users() -> None:
    from prefect.settings import get_current_settings

    assert str(get_current_settings().home) == os.environ["PREFECT_HOME"]
    assert "batchd-tests-prefect-" in os.environ["PREFECT_HOME"]
