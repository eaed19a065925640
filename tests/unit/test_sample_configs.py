"""Every sample loads without a problem, shows every key, and shows the defaults that are true."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from batchd_api.settings import known_keys, load_settings
from batchd_cli.config import load as load_client
from batchd_flows.job_types import COMMAND, load_job_types
from batchd_infra.config_files import Fields, no_config, read_config
from batchd_infra.controllers import load_controllers
from batchd_infra.hosts import load_hosts

SAMPLES = Path(__file__).parents[2] / "sample-configs"
DEPLOY = SAMPLES / "deploy"  # has tests of its own
FILES = sorted(str(f.relative_to(SAMPLES)) for f in SAMPLES.rglob("*.yaml") if f.parent != DEPLOY)
ENVIRON = {"HOME": "/home/ann", "XDG_STATE_HOME": "/state"}

CLIENT_KEYS = {
    "manager_url", "queue", "type", "host", "disable_auth", "certificate", "key", "ca_certificate",
    "disable_server_certificate_check", "username", "password",
}  # fmt: skip
CONTROLLER_KEYS = {
    "libvirt": {"connection_string"},
    "docker": {"unix_socket", "base_url"},
    "awsec2": {"region", "credentials", "address", "endpoint_url"},
    "linode": {"token_file", "actions", "address", "api_url"},
    "fake": {"startup_seconds", "shutdown_seconds"},
}


def uncommented(name: str, tmp_path: Path) -> Path:
    """The sample with each commented key taken in; prose stays a comment."""
    lines = (SAMPLES / name).read_text().splitlines()
    path = tmp_path / Path(name).name
    path.write_text(
        "\n".join(re.sub(r"^( *)#((?: {2,})?[a-z_0-9]+:( |$))", r"\1\2", line) for line in lines) + "\n"
    )
    return path


def leaves(fields: Fields, prefix: str = "") -> set[str]:
    result: set[str] = set()
    for key in fields.given_keys():
        inner = leaves(fields.section(key), f"{prefix}{key}.") if fields.is_mapping(key) else set()
        result |= inner or {prefix + key}
    return result


@pytest.mark.parametrize("name", FILES)
def test_a_sample_can_be_read_also_with_its_comments_taken_in(name: str, tmp_path: Path) -> None:
    read_config(SAMPLES / name)
    read_config(uncommented(name, tmp_path))


def test_batchd_yaml_shows_every_key_and_its_true_default(tmp_path: Path) -> None:
    sample = load_settings(uncommented("batchd.yaml", tmp_path), ENVIRON)
    assert sample.problems == ()
    assert sample.settings == load_settings(None, ENVIRON).settings
    shown = leaves(read_config(uncommented("batchd.yaml", tmp_path)))
    assert sorted(shown) == sorted(known_keys())


def test_batchd_yaml_as_shipped_changes_nothing() -> None:
    loaded = load_settings(SAMPLES / "batchd.yaml", ENVIRON)
    assert (loaded.problems, loaded.settings) == ((), load_settings(None, ENVIRON).settings)


def test_job_types_load_and_command_is_the_built_in_one() -> None:
    job_types, problems = load_job_types([SAMPLES])
    assert [str(p) for p in problems] == []
    assert len(job_types) == len(list((SAMPLES / "jobtypes").iterdir()))
    assert job_types.get("command").rest_record() == COMMAND.rest_record()


def test_hosts_load_and_their_controllers_are_among_the_samples() -> None:
    hosts, problems = load_hosts([SAMPLES])
    assert [str(p) for p in problems] == []
    assert len(hosts) == len(list((SAMPLES / "hosts").iterdir()))
    controllers = {f.stem for f in (SAMPLES / "controllers").iterdir()} | {"local"}
    assert {h.controller for h in hosts} == controllers - {"fake"}


def in_folder(name: str, tmp_path: Path) -> Path:
    """A folder with that sample alone, its comments taken in."""
    path = tmp_path / name
    path.parent.mkdir()
    return uncommented(name, path.parent).parents[1]


def test_a_host_has_the_defaults_that_its_sample_shows(tmp_path: Path) -> None:
    shown, problems = load_hosts([in_folder("hosts/every-key.yaml", tmp_path)])
    assert problems == ()
    plain, _ = load_hosts([SAMPLES])
    assert replace(shown.get("every-key"), source=None) == replace(plain.get("every-key"), source=None)


def test_a_job_type_has_the_defaults_that_its_sample_shows(tmp_path: Path) -> None:
    shown, problems = load_job_types([in_folder("jobtypes/every-key.yaml", tmp_path)])
    assert problems == ()
    plain, _ = load_job_types([SAMPLES])
    titled = replace(plain.get("every-key"), source=None, title="every-key")
    assert replace(shown.get("every-key"), source=None) == titled


@pytest.mark.parametrize("name", sorted(f.stem for f in (SAMPLES / "controllers").iterdir()))
def test_a_controller_has_the_defaults_that_its_sample_shows(name: str, tmp_path: Path) -> None:
    shown, problems = load_controllers([in_folder(f"controllers/{name}.yaml", tmp_path)])
    assert problems == ()
    plain, _ = load_controllers([SAMPLES])
    ours, theirs = shown.get(name), plain.get(name)
    assert ours.settings == theirs.settings
    assert ours._enable_start_stop is theirs._enable_start_stop is True


def test_client_yaml_shows_every_key_and_its_true_default(tmp_path: Path) -> None:
    sample = uncommented("client.yaml", tmp_path)
    assert set(read_config(sample).given_keys()) == CLIENT_KEYS
    assert load_client({}, {}, [sample.parent]) == load_client({}, {}, [])


@pytest.mark.parametrize("path", sorted((SAMPLES / "controllers").iterdir()), ids=lambda p: p.stem)
def test_a_controller_loads_and_shows_every_key_of_its_driver(path: Path, tmp_path: Path) -> None:
    text = re.sub(r"^#([a-z_]+:)", r"\1", path.read_text(), flags=re.MULTILINE)
    (tmp_path / path.name).write_text(text)
    given = read_config(tmp_path / path.name)
    driver = given.required_text("driver")
    assert set(given.given_keys()) == {"name", "driver", "enable_start_stop"} | CONTROLLER_KEYS[driver]


def test_controllers_load_as_shipped() -> None:
    controllers, problems = load_controllers([SAMPLES])
    assert [str(p) for p in problems] == []
    assert {c.name for c in controllers} == {f.stem for f in (SAMPLES / "controllers").iterdir()} | {"local"}


def test_no_config_is_empty() -> None:
    assert no_config(Path("x.yaml")).given_keys() == ()
