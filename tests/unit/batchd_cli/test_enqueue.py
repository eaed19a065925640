"""`batch enqueue`."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchd_cli.file_values import on_this_machine

from .conftest import COMMAND_TYPE, QUEUE, Batch, Manager

BLENDER = COMMAND_TYPE | {
    "name": "blender",
    "params": [{"name": name, "type": "String", "title": "", "default": ""} for name in ("input", "frame")],
}


@pytest.fixture
def types(manager: Manager) -> Manager:
    manager.answer("GET", "/type/command", COMMAND_TYPE)
    manager.answer("GET", "/type/blender", BLENDER)
    for queue in ("default", "night"):
        manager.answer("POST", f"/queue/{queue}", 18)
    return manager


def _body(manager: Manager) -> Any:
    return manager.asked()[-1][2]


def test_it_prints_the_new_id_and_only_that(batch: Batch, types: Manager) -> None:
    done = batch("enqueue", "echo", "hello", "world")
    assert (done.code, done.out, done.err) == (0, "18\n", "")
    assert types.asked()[-1] == (
        "POST",
        "/queue/default",
        {"type": "command", "params": {"command": "echo", "args": "hello world"}},
    )


@pytest.mark.parametrize(
    ("line", "params"),
    [
        (["enqueue", "make"], {"command": "make"}),
        (["enqueue", "--", "ls", "-l", "-a"], {"command": "ls", "args": "-l -a"}),
        (["enqueue", "echo", "a  b", "c"], {"command": "echo", "args": "a  b c"}),
        (["enqueue", "echo", "x", "-p", "args=y"], {"command": "echo", "args": "y"}),
        (["enqueue", "-p", "command=a=b", "-p", "args"], {"command": "a=b", "args": ""}),
        (["enqueue", "-t", "blender", "scene", "7"], {"input": "scene", "frame": "7"}),
        (["enqueue", "-t", "blender", "scene", "-p", "extra=1"], {"input": "scene", "extra": "1"}),
        (["enqueue", "-p", "a=-5", "--parameter", "b=ночь"], {"a": "-5", "b": "ночь"}),
    ],
)
def test_values_fill_the_parameters_in_order_and_p_wins(
    line: list[str], params: dict[str, str], batch: Batch, types: Manager
) -> None:
    assert batch(*line).code == 0
    assert _body(types)["params"] == params


def test_the_rest_goes_to_a_single_parameter_too(batch: Batch, types: Manager) -> None:
    types.answer("GET", "/type/command", COMMAND_TYPE | {"params": [COMMAND_TYPE["params"][0]]})  # type: ignore[index]
    batch("enqueue", "echo", "hello", "world")
    assert _body(types)["params"] == {"command": "echo hello world"}


def test_surplus_values_are_ignored_with_a_warning(batch: Batch, types: Manager) -> None:
    done = batch("enqueue", "-t", "blender", "scene", "7", "8", "9")
    assert (done.code, done.out) == (0, "18\n")
    assert "ignored: 8 9" in done.err
    assert _body(types)["params"] == {"input": "scene", "frame": "7"}


def test_without_values_the_type_is_not_asked_for(batch: Batch, types: Manager) -> None:
    batch("enqueue", "-p", "command=true")
    assert [path for _, path, _ in types.asked()] == ["/queue/default"]


def test_all_its_options_reach_the_manager(batch: Batch, types: Manager) -> None:
    line = ["--queue", "night", "--type", "blender", "--host", "blade", "--notes", "remark"]
    assert batch("enqueue", *line, "--start", "2036-01-24 22:00").code == 0
    assert types.asked()[-1] == (
        "POST",
        "/queue/night",
        {
            "type": "blender",
            "params": {},
            "host_name": "blade",
            "start_time": "2036-01-24T21:00:00.000000Z",
            "notes": "remark",
        },
    )


def test_queue_type_and_host_have_variables(
    batch: Batch, types: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"QUEUE": "night", "TYPE": "blender", "HOST": "blade"}.items():
        monkeypatch.setenv(f"BATCH_{name}", value)
    batch("enqueue")
    assert types.asked()[-1][1:] == (
        "/queue/night",
        {"type": "blender", "params": {}, "host_name": "blade"},
    )


@pytest.mark.parametrize("word", ["any", "now", "anytime"])
def test_any_start_is_none(word: str, batch: Batch, types: Manager) -> None:
    batch("enqueue", "--at", word)
    assert _body(types) == {"type": "command", "params": {}}


def test_a_relative_start_counts_from_now(batch: Batch, types: Manager) -> None:
    batch("enqueue", "--at", "+2 hours")
    start = datetime.fromisoformat(_body(types)["start_time"])
    assert abs(start - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)


def test_a_start_that_is_past_is_sent_with_a_warning(batch: Batch, types: Manager) -> None:
    done = batch("enqueue", "--at", "2020-01-01 12:00")
    assert done.out == "18\n"
    assert "2020-01-01 12:00:00 is past" in done.err
    assert "start_time" in _body(types)


def test_a_start_that_is_no_time_is_a_usage_error(batch: Batch, types: Manager) -> None:
    done = batch("enqueue", "--at", "sometime", "true")
    assert (done.code, done.out, types.asked()) == (2, "", [])
    assert "cannot read 'sometime' as a time" in done.err


def test_a_parameter_without_a_name_is_a_usage_error(batch: Batch, types: Manager) -> None:
    assert batch("enqueue", "-p", "=x").code == 2


@pytest.mark.parametrize("name", ["enqueue", "run"])
def test_an_option_of_the_command_itself_gets_a_hint_how_to_write_it(name: str, batch: Batch) -> None:
    done = batch(name, "sh", "-c", "make")
    assert (done.code, done.out) == (2, "")
    assert f"Hint: -- before a command leaves its options alone: batch {name} -- COMMAND -c …" in done.err
    assert "Hint" not in batch("ls", "-X").err


def test_chdir_is_sent_from_here(
    batch: Batch, types: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    batch("enqueue", "--chdir", "sub", "make")
    assert _body(types)["working_directory"] == str(tmp_path / "sub")


FILED = COMMAND_TYPE | {
    "name": "filed",
    "params": [
        {"name": "scene", "type": "InputFile", "title": "", "default": ""},
        {"name": "picture", "type": "OutputFile", "title": "", "default": ""},
        {"name": "word", "type": "String", "title": "", "default": ""},
    ],
}


@pytest.fixture
def filed(types: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    types.answer("GET", "/type/filed", FILED)
    (tmp_path / "a.blend").touch()
    monkeypatch.chdir(tmp_path)
    return types


@pytest.mark.parametrize(
    "line",
    [["a.blend", "out.png", "word"], ["-p", "scene=a.blend", "-p", "picture=out.png", "-p", "word=word"]],
)
def test_relative_files_begin_in_the_current_folder_and_that_is_said(
    line: list[str], batch: Batch, filed: Manager, tmp_path: Path
) -> None:
    done = batch("enqueue", "-t", "filed", *line)
    scene, picture = str(tmp_path / "a.blend"), str(tmp_path / "out.png")
    assert _body(filed)["params"] == {"scene": scene, "picture": picture, "word": "word"}
    assert done.out == "18\n"
    assert done.err == f"scene: a.blend is {scene}\npicture: out.png is {picture}\n"


def test_with_chdir_they_begin_there(batch: Batch, filed: Manager, tmp_path: Path) -> None:
    batch("enqueue", "-t", "filed", "--chdir", "sub", "../a.blend", "/out.png")
    assert _body(filed)["params"] == {"scene": str(tmp_path / "sub/../a.blend"), "picture": "/out.png"}


def test_an_input_that_is_missing_here_gets_a_hint_and_is_enqueued(batch: Batch, filed: Manager) -> None:
    done = batch("enqueue", "-t", "filed", "/nowhere/b.blend", "/nowhere/out.png")
    assert (done.code, done.out) == (0, "18\n")
    assert done.err == ("scene: /nowhere/b.blend does not exist yet; it is looked for when the job starts\n")
    assert batch("-q", "enqueue", "-t", "filed", "b.blend").err == ""


def test_a_dry_run_says_where_they_are(batch: Batch, filed: Manager, tmp_path: Path) -> None:
    filed.answer("POST", "/queue/default?dry_run=true", DRY)
    done = batch("enqueue", "--dry-run", "-t", "filed", "a.blend")
    assert done.err == f"scene: a.blend is {tmp_path / 'a.blend'}\n"
    assert _body(filed)["params"] == {"scene": str(tmp_path / "a.blend")}


def test_a_manager_elsewhere_gets_them_as_they_are_with_a_warning(
    batch: Batch, filed: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchd_cli.file_values.on_this_machine", lambda url: False)
    done = batch("enqueue", "-t", "filed", "b.blend", "/out.png")
    assert _body(filed)["params"] == {"scene": "b.blend", "picture": "/out.png"}
    assert "Warning: scene: b.blend is no full path; it is looked for in the folder of its job" in done.err
    assert "picture" not in done.err


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://localhost:9681", True),
        ("http://127.0.0.2:1", True),
        ("http://[::1]:9681/batchd", True),
        ("https://farm.example.org", False),
        ("http://192.0.2.7:9681", False),
        ("http://localhost.example.org", False),
    ],
)
def test_a_manager_on_this_machine_is_known_by_its_address(url: str, is_here: bool) -> None:
    assert on_this_machine(url) is is_here


DRY = {
    "command": "make",
    "host": None,
    "files": [{"name": "input", "type": "InputFile", "path": "scene.blend"}],
    "window_opens": "2026-11-24T21:00:00.000000Z",
    "earliest_start": None,
}


def test_a_dry_run_shows_what_would_run_and_enqueues_nothing(batch: Batch, types: Manager) -> None:
    types.answer("POST", "/queue/night?dry_run=true", DRY)
    assert batch("enqueue", "--dry-run", "-q", "night", "make").out == (
        "Host:         here, on the dispatcher's machine\n"
        "File:         scene.blend (input, InputFile)\n"
        "Window opens: 2026-11-24 22:00:00\n"
        "Command:\n"
        "  make\n"
    )
    assert types.asked()[-1] == (
        "POST",
        "/queue/night?dry_run=true",
        {"type": "command", "params": {"command": "make"}},
    )
    assert json.loads(batch("enqueue", "--dry-run", "-q", "night", "make", "--json").out) == DRY


@pytest.mark.parametrize(
    ("sentence", "status"), [('There is no job type "blendr".', 400), ("no such thing", 404)]
)
def test_a_mistyped_type_is_asked_about(sentence: str, status: int, batch: Batch, types: Manager) -> None:
    types.answer("GET", "/type/blendr", sentence, status)
    types.answer("GET", "/type", [COMMAND_TYPE, BLENDER])
    assert "did you mean blender?" in batch("enqueue", "-t", "blendr", "x").err


def test_a_mistyped_queue_is_asked_about(batch: Batch, types: Manager) -> None:
    types.answer("POST", "/queue/nihgt", 'There is no queue "nihgt".', 404)
    types.answer("GET", "/queue", [QUEUE])
    assert "did you mean night?" in batch("enqueue", "-q", "nihgt").err


def test_an_unknown_type_is_5_and_nothing_is_enqueued(batch: Batch, types: Manager) -> None:
    types.answer("GET", "/type/nosuch", "There is no job type nosuch.", 404)
    done = batch("enqueue", "-t", "nosuch", "x")
    assert (done.code, done.out) == (5, "")
    assert "POST" not in [method for method, _, _ in types.asked()]


def test_limits_go_as_they_are_written(batch: Batch, types: Manager) -> None:
    line = ("--timeout", "2h", "--silence", "10 min", "--kill-after", "5", "--output-limit", "500M")
    assert batch("enqueue", *line, "make").code == 0
    body = _body(types)
    assert {key: body[key] for key in ("timeout", "silence", "kill_after", "output_limit")} == {
        "timeout": "2h", "silence": "10 min", "kill_after": "5", "output_limit": "500M",
    }  # fmt: skip


def test_who_is_told_goes_with_the_order(batch: Batch, types: Manager) -> None:
    assert batch("enqueue", "--notify", "fail,done:ops", "--notify", "long:ann", "make").code == 0
    assert _body(types)["notify"] == ["fail,done:ops", "long:ann"]
