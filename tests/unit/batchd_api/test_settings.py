import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from batchd_api.settings import (
    DaemonMode,
    Driver,
    JobEnvironment,
    LoadedSettings,
    LogLevel,
    Settings,
    database_url,
    insecure_bind,
    load_settings,
)
from batchd_flows.job_types import TemplateSyntax
from batchd_infra.config_files import ConfigError

FULL = """\
daemon: manager
driver: POSTGRESQL
connection_string: host=localhost port=5432 user=batchd password=hunter2
connection_pool_size: 5
state_directory: ~/state
timezone: Europe/Berlin
default_template_syntax: python
default_scripts_directory: /srv/scripts
variables: {threads: 8}
logging: {target: stderr, format: "{message}\\n", level: Debug, filter: {a.b: error}}
manager:
  host: 0.0.0.0
  port: 80
  auth: {basic: true, header: true, static_salt: hunter3}
  web_client: {path: ~/web, allowed_origin: https://x.org/}
  allowed_hosts: [x.org]
  allow_insecure: true
  trusted_proxies: [10.0.0.0/8]
dispatcher: {workers: 4, poll_timeout: 2 s, queues: [a b], file_roots: [~/data, /srv], environment: clean}
prefect: {port: 4300, api_url: "http://p/api", auth_string: "a:hunter4", home: /p, user: ann, mirror_ahead: 9,
          log_limit: 10, api_key: hunter5, database_url: "host=db user=p password=hunter6 dbname=prefect"}
metrics: {gc_metrics: false, http_metrics: no, store_prefix_only: batchd, dump_timeout: 60}
storage: {done_jobs: 7, metric_records: 12 h}
"""


def load(tmp_path: Path, text: str, **environ: str) -> LoadedSettings:
    path = tmp_path / "batchd.yaml"
    path.write_text(text)
    return load_settings(path, {"HOME": str(tmp_path), **environ})


def settings(tmp_path: Path, text: str) -> Settings:
    loaded = load(tmp_path, text)
    assert [str(p) for p in loaded.problems] == []
    return loaded.settings


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    return str(refused.value).removeprefix(f"{tmp_path}/")


def test_every_key_is_read(tmp_path: Path) -> None:
    s = settings(tmp_path, FULL)
    assert (s.daemon, s.driver, s.connection_pool_size) == (DaemonMode.MANAGER, Driver.POSTGRESQL, 5)
    assert (s.state_directory, s.timezone.key) == (tmp_path / "state", "Europe/Berlin")
    assert s.default_template_syntax is TemplateSyntax.PYTHON
    assert (s.default_scripts_directory, s.variables) == (Path("/srv/scripts"), {"threads": "8"})
    assert (s.logging.target, s.logging.format, s.logging.level) == ("stderr", "{message}\n", LogLevel.DEBUG)
    assert s.logging.filter == {"a.b": LogLevel.ERROR}
    m = s.manager
    assert (m.host, m.port, m.auth.basic, m.auth.header, m.allow_insecure) == (
        "0.0.0.0",
        80,
        True,
        True,
        True,
    )
    assert (m.web_client.path, m.web_client.allowed_origins) == (tmp_path / "web", ("https://x.org",))
    assert (m.allowed_hosts, m.trusted_proxies) == (("x.org",), (ip_network("10.0.0.0/8"),))
    d = s.dispatcher
    assert (d.workers, d.poll_timeout_seconds, d.queues) == (4, 2, ("a b",))
    assert (d.file_roots, d.environment) == ((tmp_path / "data", Path("/srv")), JobEnvironment.CLEAN)
    p = s.prefect
    assert (p.port, p.api_url, p.home, p.user) == (4300, "http://p/api", Path("/p"), "ann")
    assert (p.mirror_ahead, p.log_limit_bytes) == (9, 10)
    assert p.api_key is not None
    assert p.database_url is not None
    assert p.api_key.get_secret_value() == "hunter5"
    assert p.database_url.get_secret_value() == "postgresql+asyncpg://p:hunter6@db/prefect"
    assert (s.metrics.gc_metrics, s.metrics.http_metrics) == (False, False)
    assert (s.metrics.store_prefix_only, s.metrics.dump_timeout_seconds) == ("batchd", 60)
    assert (s.storage.done_jobs_days, s.storage.metric_records_days) == (7, 0.5)


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    loaded = load(tmp_path, FULL)
    assert "hunter" not in repr(loaded)
    assert "hunter2" in database_url(loaded.settings)


def test_no_file_at_all_means_the_defaults(tmp_path: Path) -> None:
    loaded = load_settings(None, {"HOME": str(tmp_path), "XDG_STATE_HOME": "/xdg"})
    s = loaded.settings
    assert (loaded.source, loaded.problems) == (None, ())
    assert (s.daemon, s.driver, s.connection_string) == (DaemonMode.BOTH, Driver.SQLITE, None)
    assert (s.manager.host, s.manager.port, s.manager.auth.basic) == ("127.0.0.1", 9681, True)
    assert (s.dispatcher.workers, s.dispatcher.poll_timeout_seconds, s.dispatcher.queues) == (1, 10, None)
    assert (s.storage.done_jobs_days, s.storage.metric_records_days) == (2, 3)
    assert (s.prefect.port, s.prefect.home) == (4200, Path("/xdg/batchd/prefect"))
    assert database_url(s) == "sqlite:////xdg/batchd/batchd.db"


def test_the_user_file_comes_before_the_systems(tmp_path: Path) -> None:
    folder = tmp_path / ".config/batchd"
    folder.mkdir(parents=True)
    (folder / "batchd.yaml").write_text("daemon: Manager")
    loaded = load_settings(None, {"HOME": str(tmp_path)})
    assert (loaded.source, loaded.settings.daemon) == (folder / "batchd.yaml", DaemonMode.MANAGER)


def test_a_named_file_counts_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("daemon: Dispatcher")
    environ = {"HOME": str(tmp_path), "BATCHD_CONFIG": str(tmp_path / "x.yaml")}
    assert load_settings(None, environ).settings.daemon is DaemonMode.DISPATCHER
    with pytest.raises(ConfigError, match="there is no such file"):
        load_settings(tmp_path / "missing.yaml", environ)


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/xdg"}, 1000, "/xdg/batchd"),
        ({"HOME": "/home/ann"}, 1000, "/home/ann/.local/state/batchd"),
        ({"HOME": "/root"}, 0, "/var/lib/batchd"),
    ],
)
def test_the_state_folder_depends_on_who_runs(
    environ: dict[str, str], uid: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert load_settings(None, environ).settings.state_directory == Path(expected)


def test_old_flat_keys_count_and_warn_of_their_new_place(tmp_path: Path) -> None:
    old = "log_level: error\nauth: disable\nweb_client_path: /w\nallowed_origin: http://o/\n"
    loaded = load(tmp_path, old)
    s = loaded.settings
    assert (s.logging.level, s.manager.auth.disabled) == (LogLevel.ERROR, True)
    assert (s.manager.web_client.path, s.manager.web_client.allowed_origins) == (Path("/w"), ("http://o",))
    assert sorted(str(p).removeprefix(f"{tmp_path}/") for p in loaded.problems) == [
        "batchd.yaml:1: log_level: has moved: write it as logging.level",
        "batchd.yaml:2: auth: has moved: write it as manager.auth",
        "batchd.yaml:3: web_client_path: has moved: write it as manager.web_client.path",
        "batchd.yaml:4: allowed_origin: has moved: write it as manager.web_client.allowed_origin",
    ]


def test_the_new_place_wins_over_the_old(tmp_path: Path) -> None:
    s = load(tmp_path, "log_level: error\nlogging: {level: debug}\n").settings
    assert s.logging.level is LogLevel.DEBUG


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port: 1", (True, False)),
        ("auth: {}", (True, False)),
        ("auth: {header: true}", (True, True)),
        ("auth: {basic: false, header: true}", (False, True)),
        ("auth: Disable", (False, False)),
    ],
)
def test_auth_is_disable_or_a_mapping(tmp_path: Path, text: str, expected: tuple[bool, bool]) -> None:
    auth = settings(tmp_path, f"manager: {{{text}}}").manager.auth
    assert (auth.basic, auth.header) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "batch.example.org"])
@pytest.mark.parametrize("auth", ["disable", "{header: true}"])
def test_insecure_on_an_address_that_others_reach_is_an_error(tmp_path: Path, host: str, auth: str) -> None:
    loaded = load(tmp_path, f"manager:\n  auth: {auth}\n  host: '{host}'\n")
    assert len(loaded.errors) == 1
    assert (loaded.errors[0].line, loaded.errors[0].key) == (3, "manager.host")
    assert "manager.allow_insecure: true" in str(loaded.errors[0])
    allowed = load(tmp_path, f"manager: {{auth: {auth}, host: '{host}', allow_insecure: true}}\n")
    assert allowed.problems == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.7.7.7", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_permission(tmp_path: Path, host: str) -> None:
    assert insecure_bind(settings(tmp_path, f"manager: {{auth: disable, host: '{host}'}}")) is None


def test_basic_authentication_may_listen_anywhere(tmp_path: Path) -> None:
    assert insecure_bind(settings(tmp_path, "manager: {host: 0.0.0.0}")) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("daemon: Neither", "batchd.yaml:1: daemon: must be one of Manager, Dispatcher, Both, not 'Neither'"),
        ("a: 1\ntimezone: Mars/Base", "batchd.yaml:2: timezone: 'Mars/Base' is no time zone"),
        ("timezone: /etc/passwd", "batchd.yaml:1: timezone: '/etc/passwd' is no time zone"),
        ("timezone: ../../x", "batchd.yaml:1: timezone: '../../x' is no time zone"),
        ("timezone: Europe", "batchd.yaml:1: timezone: 'Europe' is no time zone"),
        ("manager:\n  port: 70000", "batchd.yaml:2: manager.port: must be from 0 to 65535"),
        ("manager:\n  auth: off", "batchd.yaml:2: manager.auth: must be 'disable'"),
        ("manager:\n  auth: {basic: false}", "batchd.yaml:2: manager.auth: leaves no way to log in"),
        ("manager:\n  trusted_proxies: [x]", "batchd.yaml:2: manager.trusted_proxies: must hold addresses"),
        ("logging:\n  filter:\n    a: loud", "batchd.yaml:3: logging.filter.a: must be one of config"),
        ("manager: 5", "batchd.yaml:1: manager: must hold 'name: value' lines, not one text"),
        ("dispatcher: {workers: 0}", "batchd.yaml:1: dispatcher.workers: must be from 1"),
        ("connection_string: host=x user=y", "batchd.yaml:1: connection_string: is PostgreSQL's form, but"),
        ("driver: PostgreSql", "batchd.yaml:1: connection_string: is neither 'host="),
    ],
)
def test_a_bad_file_is_refused_with_file_line_and_key(tmp_path: Path, text: str, problem: str) -> None:
    assert refusal(tmp_path, text).startswith(problem)


def test_unknown_keys_warn_at_every_depth(tmp_path: Path) -> None:
    text = "managre: {}\nmanager:\n  prot: 1\n  auth: {basci: true}\n  web_client: {paht: x}\n"
    text += "prefect: {prot: 1}\n"
    problems = [str(p).removeprefix(f"{tmp_path}/") for p in load(tmp_path, text).problems]
    assert sorted(problems) == [
        "batchd.yaml:1: managre: unknown key, it has no effect; did you mean 'manager'?",
        "batchd.yaml:3: manager.prot: unknown key, it has no effect; did you mean 'port'?",
        "batchd.yaml:4: manager.auth.basci: unknown key, it has no effect; did you mean 'basic'?",
        "batchd.yaml:5: manager.web_client.paht: unknown key, it has no effect; did you mean 'path'?",
        "batchd.yaml:6: prefect.prot: unknown key, it has no effect; did you mean 'port'?",
    ]


def test_an_origin_of_a_star_warns(tmp_path: Path) -> None:
    problems = load(tmp_path, "manager: {web_client: {allowed_origin: '*'}}").problems
    assert "'*' allows nothing" in str(problems[0])


def test_a_list_of_names_is_a_clean_environment_with_these(tmp_path: Path) -> None:
    d = settings(tmp_path, "dispatcher: {environment: [CUDA_HOME, LANG]}").dispatcher
    assert (d.environment, d.environment_names) == (JobEnvironment.CLEAN, ("CUDA_HOME", "LANG"))


def test_reading_the_settings_loads_no_server_library() -> None:
    code = (
        "import sys, batchd_api.settings; "
        "print([m for m in ('prefect', 'fastapi', 'sqlalchemy', 'docker', 'boto3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
