"""`batch type`, `host`, `stats`, `monitor`, `user`, `grant`, `shell`."""

import getpass
import io
import json
import os
import subprocess

import pytest

from .conftest import BATCH, COMMAND_TYPE, JOB, Batch, Manager
from .test_main import on_a_terminal


def test_types_are_a_table_and_a_named_one_is_shown(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/type", [COMMAND_TYPE])
    manager.answer("GET", "/type/command", COMMAND_TYPE)
    assert batch("type").out == (
        "NAME     TITLE        HOST  PARAMETERS\ncommand  Any command        command args\n"
    )
    shown = batch("type", "command").out
    assert "On failure: retry later, 2 times\n" in shown
    assert "Template:\n  $command $args\n" in shown
    assert "  args     String           Arguments\n" in shown


def test_an_unknown_type_is_5(batch: Batch, manager: Manager) -> None:
    assert batch("type", "nosuch").code == 5


def test_hosts_are_one_a_line(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/host", ["blade", "b\x1bc"])
    assert batch("host").out == "blade\nb\\x1bc\n"


def test_stats_count_every_status(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/stats", {"night": {"new": 12, "done": 3}, "default": {}})
    manager.answer("GET", "/stats/night", {"failed": 1})
    assert batch("stats").out == (
        "QUEUE    NEW  WAITING  PROCESSING  DONE  FAILED  POSTPONED\n"
        "night    12   0        0           3     0       0\n"
        "default  0    0        0           0     0       0\n"
    )
    assert batch("stats", "night").out.splitlines()[1].split() == ["night", "0", "0", "0", "0", "1", "0"]


def test_metrics_by_prefix_as_a_tree_or_the_last(batch: Batch, manager: Manager) -> None:
    record = {"time": "2026-11-24T03:00:00.000000Z", "daemon": "Both", "text": None, "value": None}
    manager.answer(
        "GET",
        "/monitor/batchd/current/plain",
        [
            record | {"name": "batchd.jobs.New", "kind": "g", "value": 3},
            record | {"name": "batchd.host.h.status", "kind": "l", "text": "up"},
        ],
    )
    manager.answer("GET", "/monitor/current/tree", {"batchd": {"jobs": {}}})
    manager.answer("GET", "/monitor/batchd.jobs.New/last", {"batchd": 1})
    assert batch("monitor", "batchd").out == (
        "NAME                  VALUE\nbatchd.jobs.New       3\nbatchd.host.h.status  up\n"
    )
    assert batch("monitor", "-t").out == '{\n  "batchd": {\n    "jobs": {}\n  }\n}\n'
    assert batch("monitor", "--last", "batchd.jobs.New").out == '{\n  "batchd": 1\n}\n'
    assert batch("monitor", "-l").code == 2


def test_users_are_listed_one_a_line(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/user", ["root", "anna"])
    assert batch("user").out == "root\nanna\n"
    assert batch("user", "anna").out == "anna\n"
    assert batch("user", "nobody").code == 5


def test_a_new_users_password_is_asked_twice(manager: Manager, home: object) -> None:
    manager.answer("POST", "/user", "bob")
    typed = ["one", "two", "one", "one"]
    code, shown = on_a_terminal("user", "-a", "bob", typed=typed, BATCH_MANAGER_URL=manager.url)
    assert code == 0
    assert "two different ones" in shown
    assert manager.asked() == [("POST", "/user", {"name": "bob", "password": "one"})]


def test_a_new_password_without_a_terminal_says_how_it_may_come(
    batch: Batch, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_there(prompt: str) -> str:
        raise getpass.GetPassWarning(prompt)

    monkeypatch.setattr(getpass, "getpass", nobody_there)
    done = batch("user", "-a", "otto")
    assert (done.code, done.out) == (4, "")
    assert "there is no terminal to ask for the new password of otto on" in done.err
    assert "--new-password-stdin reads it from stdin" in done.err
    manager.answer("POST", "/user", "otto")
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))
    assert batch("user", "-a", "otto", "--new-password-stdin").code == 0
    assert manager.asked()[-1] == ("POST", "/user", {"name": "otto", "password": "s3cret"})


@pytest.mark.parametrize("option", ["-a", "--delete"])
def test_a_user_without_a_name_is_a_usage_error_that_shows_the_line(option: str, batch: Batch) -> None:
    done = batch("user", option)
    assert (done.code, f"batch user {option} NAME" in done.err) == (2, True)


def test_a_password_changed_without_a_name_is_ones_own(manager: Manager, home: object) -> None:
    manager.answer("PUT", "/user/anna", "done")
    code, _ = on_a_terminal("user", "-u", typed=["new", "new"], BATCH_MANAGER_URL=manager.url)
    assert (code, manager.asked()) == (0, [("PUT", "/user/anna", {"password": "new"})])


def test_permissions_are_shown_granted_and_revoked(batch: Batch, manager: Manager) -> None:
    record = {"user_name": "anna", "permission": "CreateJobs", "queue_name": "night"}
    manager.answer(
        "GET", "/user/anna/permissions", [[3, record | {"type_name": None, "host_name": "__default__"}]]
    )
    manager.answer("POST", "/user/anna/permissions", 4)
    manager.answer("DELETE", "/user/anna/permissions/4", "done")
    assert batch("grant", "anna").out.splitlines()[1].split() == [
        "3",
        "CreateJobs",
        "night",
        "any",
        "__default__",
    ]
    assert batch("grant", "anna", "-a", "-p", "viewjobs", "-q", "night").out == "4\n"
    assert manager.asked()[-1][2] == {
        "user_name": "anna",
        "permission": "ViewJobs",
        "queue_name": "night",
        "type_name": None,
        "host_name": None,
    }
    assert batch("grant", "anna", "--delete", "--id", "4").code == 0
    for line in ("-a", "-d", "-p ViewJobs", "-i 4", "-q night", "-a -p Fly"):
        assert batch("grant", "anna", *line.split()).code == 2


def in_the_shell(manager: Manager, lines: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BATCH), *options, "shell"],
        input="\n".join(lines) + "\n",
        env=os.environ | {"BATCH_MANAGER_URL": manager.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_shell_takes_the_same_commands_until_exit(manager: Manager, home: object) -> None:
    manager.answer("GET", "/job/17", JOB)
    manager.answer("GET", "/host", ["blade"])
    lines = ["host", "nosuch", "", "'open", "job 17", "exit", "host"]
    done = in_the_shell(manager, lines)
    assert done.returncode == 2
    assert done.stdout.startswith("blade\nId: ")
    assert done.stdout.count("blade") == 1
    assert "No such command 'nosuch'" in done.stderr
    assert len({one.connection for one in manager.requests}) == 1
    assert [one.method for one in manager.requests].count("OPTIONS") == 1


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["job 99", "host"], 5),
        (["job 99", "nosuch", "host"], 2),
        (["nosuch", "job 99", "quit"], 5),
        (["host", "'open"], 2),
        (["shell"], 2),
        (["host", ""], 0),
    ],
)
def test_the_shell_ends_with_the_code_of_the_last_line_that_failed(
    lines: list[str], code: int, manager: Manager, home: object
) -> None:
    manager.answer("GET", "/host", ["blade"])
    done = in_the_shell(manager, lines)
    assert done.returncode == code


def test_the_shell_ends_at_the_end_of_input(manager: Manager, home: object) -> None:
    done = subprocess.run([str(BATCH), "shell"], input="", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_shells_commands_speak_json_where_it_was_asked_for(manager: Manager, home: object) -> None:
    manager.answer("GET", "/host", ["blade"])
    done = in_the_shell(manager, ["host", "host"], "--json")
    assert [json.loads(line)[0]["name"] for line in done.stdout.splitlines()] == ["blade", "blade"]
