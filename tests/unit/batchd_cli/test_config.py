"""Where a setting comes from, and what a bad file is told."""

from pathlib import Path

import pytest

from batchd_cli.config import Config, folders, load
from batchd_cli.errors import ConfigError


def _folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "client.yaml").write_text(text)
    return path


def test_without_anything_it_is_the_contracts_default(home: Path) -> None:
    expected = Config(manager_url="http://localhost:9681", queue="default", type="command", username="anna")
    assert load({}, {}, []) == expected


def test_an_option_beats_a_variable_beats_the_file(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", "username: file\npassword: file\nqueue: file\n")
    environment = {"BATCH_USERNAME": "variable", "BATCH_PASSWORD": "variable", "BATCH_QUEUE": ""}
    config = load({"username": "option"}, environment, [folder])
    assert (config.username, config.password, config.queue) == ("option", "variable", "file")


def test_the_first_file_found_is_the_one(tmp_path: Path) -> None:
    first, second = _folder(tmp_path / "a", "queue: a\n"), _folder(tmp_path / "b", "queue: b\ntype: b\n")
    assert load({}, {}, [tmp_path / "none", first, second]).queue == "a"
    assert load({}, {}, [first, second]).type == "command"


def test_it_is_looked_for_at_home_and_then_in_etc(home: Path) -> None:
    assert folders() == [home / ".config/batchd", Path("/etc/batchd")]


def test_values_are_texts_as_they_stand(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path / "a",
        "password: 0123\nqueue: on\ndisable_auth: Yes\ndisable_server_certificate_check: false\nhost: ~\n",
    )
    config = load({}, {}, [folder])
    assert (config.password, config.queue, config.host) == ("0123", "on", None)
    assert config.disable_auth
    assert not config.disable_server_certificate_check


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert load({}, {}, [_folder(tmp_path / "a", "# nothing\n")]).queue == "default"


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", "queue: a\nmanager_ulr: http://x\n")
    warning = f"{folder}/client.yaml:2: unknown key 'manager_ulr'; did you mean 'manager_url'?"
    assert load({}, {}, [folder]).warnings == (warning,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("disable_auth: perhaps", ":1: 'disable_auth' must be true or false"),
        ("queue: x\ntype: [a, b]", ":2: 'type' must be one value"),
        ("- a", ":1: must be keys and values"),
        ("queue: x\n  y: z: 1", ":2:"),
        ("queue: \x01", "client.yaml"),
    ],
)
def test_a_bad_file_is_an_error_with_file_and_line(text: str, said: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", text)
    with pytest.raises(ConfigError) as caught:
        load({}, {}, [folder])
    assert "client.yaml" in str(caught.value)
    assert said in str(caught.value)


def test_the_password_is_not_in_the_settings_repr() -> None:
    assert "secret" not in repr(Config(password="secret"))
