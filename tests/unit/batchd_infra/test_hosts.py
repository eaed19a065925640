from pathlib import Path

import pytest

from batchd_infra.config_files import ConfigError
from batchd_infra.hosts import Host, HostKeyPolicy, HostNotFound, Hosts, load_hosts

FULL = """\
name: render
host_name: render.example.org
controller_id: dom1
controller: linode
public_key: ~/.ssh/k.pub
private_key: ~/.ssh/k
passphrase: hunter2
user_name: ann
port: 2222
max_jobs: 3
startup_time: 7
shutdown_timeout: 10 min
host_key_policy: accept-new
stop_foreign: true
input_directory: in
output_directory: out
scripts_directory: scripts
working_directory: /srv
environment: {LANG: C}
timeout: 1 h
silence: 60
kill_after: 5
startup_commands_on_dispatcher: wakeonlan ${hostname}
startup_commands_on_host: [a, b]
variables: {threads: 8, empty: }
linode:
  {type: g6, region: eu, image: i, root_password: hunter3, stackscript_id: 5, stackscript_data: {a: hunter4}}
"""


def load(tmp_path: Path, **files: str) -> tuple[Hosts, list[str]]:
    (tmp_path / "hosts").mkdir()
    for name, text in files.items():
        (tmp_path / "hosts" / f"{name}.yaml").write_text(text)
    hosts, problems = load_hosts([tmp_path])
    return hosts, [str(p) for p in problems]


def test_every_key_of_a_host_is_read(tmp_path: Path) -> None:
    hosts, problems = load(tmp_path, render=FULL)
    host = hosts.get("render")
    assert problems == []
    assert (host.port, host.max_jobs, host.startup_time_seconds, host.shutdown_timeout_seconds) == (
        2222,
        3,
        7,
        600,
    )
    assert (host.timeout_seconds, host.silence_seconds, host.kill_after_seconds) == (3600, 60, 5)
    assert host.startup_commands_on_dispatcher == ("wakeonlan ${hostname}",)
    assert host.startup_commands_on_host == ("a", "b")
    assert host.variables == {"threads": "8", "empty": ""}
    assert host.host_key_policy is HostKeyPolicy.ACCEPT_NEW
    assert host.stop_foreign
    assert host.passphrase is not None
    assert host.passphrase.get_secret_value() == "hunter2"
    assert host.controller_settings["root_password"].get_secret_value() == "hunter3"
    assert host.controller_settings["stackscript_id"] == "5"


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    hosts, _ = load(tmp_path, render=FULL)
    host = hosts.get("render")
    assert "hunter" not in repr(host) + str(host) + str(host.passphrase)


def test_the_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    hosts, problems = load(tmp_path, x="name: x\n")
    expected = Host(name="x", host_name="x", controller_id="x", source=tmp_path / "hosts/x.yaml")
    assert (hosts.get("x"), problems) == (expected, [])
    assert (expected.port, expected.startup_time_seconds, expected.shutdown_timeout_seconds) == (22, 5, 300)
    assert (expected.controller, expected.input_directory, expected.output_directory) == ("local", ".", ".")
    assert expected.host_key_policy is HostKeyPolicy.STRICT
    assert expected.max_jobs is None


def test_zero_seconds_are_not_the_default(tmp_path: Path) -> None:
    hosts, _ = load(tmp_path, x="name: x\nstartup_time: 0\nshutdown_timeout: 0\n")
    assert (hosts.get("x").startup_time_seconds, hosts.get("x").shutdown_timeout_seconds) == (0, 0)


def test_anything_goes_is_no_host_key_policy(tmp_path: Path) -> None:
    _, problems = load(tmp_path, x="name: x\nhost_key_policy: ignore\n")
    assert problems[0].endswith("x.yaml:2: host_key_policy: must be one of strict, accept-new, not 'ignore'")


def test_an_unknown_host_names_the_nearest(tmp_path: Path) -> None:
    hosts, _ = load(tmp_path, render="name: render")
    with pytest.raises(HostNotFound, match="there is no host 'rendre'; the nearest is 'render'"):
        hosts.get("rendre")


@pytest.mark.parametrize("name", ["../render", "/etc/passwd", "render.yaml", "", "x" * 5000, "a\nb"])
def test_a_name_is_looked_up_and_never_a_path(tmp_path: Path, name: str) -> None:
    hosts, _ = load(tmp_path, render="name: render")
    with pytest.raises(HostNotFound) as missing:
        hosts.get(name)
    assert "\n" not in str(missing.value)
    assert len(str(missing.value)) < 300


def test_settings_of_a_controller_must_be_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/x.yaml").write_text("name: x\ncontroller: linode\nlinode: [a]\n")
    _, problems = load_hosts([tmp_path])
    assert isinstance(problems[0], ConfigError)
