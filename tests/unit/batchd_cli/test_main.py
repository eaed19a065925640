"""The command line as a whole: common options, authentication, errors and their exit codes."""

import base64
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from select import select

import pytest

from batchd_cli.version import __version__

from .conftest import BATCH, INTERRUPTIBLE, JOB, QUEUE, Batch, Manager

ON_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes stdin the controlling terminal of the program named in the arguments."""
SILENCE_SECONDS = 20


def on_a_terminal(*arguments: str, typed: Sequence[str] = (), **environment: str) -> tuple[int, str]:
    """`batch` with a terminal for all three streams: its exit code, and what the terminal showed.

    Each line is typed at a prompt of its own: asking for a password throws away what was typed before.
    """
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, str(BATCH), *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"} | environment,
    )
    os.close(follower)
    shown, waiting = b"", list(typed)
    try:
        while select([leader], [], [], SILENCE_SECONDS)[0] and (piece := os.read(leader, 4096)):
            shown += piece
            if shown.endswith(b": ") and waiting:
                os.write(leader, f"{waiting.pop(0)}\n".encode())
    except OSError:  # Linux says EIO when the last one has closed it
        pass
    finally:
        os.close(leader)
        if process.poll() is None and not shown.endswith(b"\n"):
            process.kill()  # it still waits at a prompt that nobody answers
    return process.wait(SILENCE_SECONDS), shown.decode()


def _basic(manager: Manager) -> list[str | None]:
    """What each request after the first look came with."""
    return [one.headers.get("Authorization") for one in manager.requests if one.method != "OPTIONS"]


def _header(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def hosts(manager: Manager) -> Manager:
    manager.answer("GET", "/host", ["blade"])
    return manager


# common options


def test_help_names_the_commands_and_version_the_version(batch: Batch) -> None:
    assert "enqueue" in batch("-h").out
    assert __version__ in batch("--version").out


def test_h_is_help_where_there_is_no_host_option(batch: Batch) -> None:
    assert "Usage: batch ls" in batch("ls", "-h").out
    assert "requires an argument" in batch("enqueue", "-h").err


@pytest.mark.parametrize("place", ["before", "after"])
def test_common_options_stand_before_the_command_or_after(place: str, batch: Batch, hosts: Manager) -> None:
    hosts.answer("OPTIONS", "/", ["basic"])
    options = ["-U", "bob", "-P", "pw"]
    done = batch(*options, "host") if place == "before" else batch("host", *options)
    assert (done.code, done.out) == (0, "blade\n")
    assert _basic(hosts) == [_header("bob", "pw")]


def test_a_letter_of_the_commands_own_keeps_its_meaning_there(batch: Batch, manager: Manager) -> None:
    manager.answer("DELETE", "/job/17", "done")
    assert batch("job", "17", "-d").code == 0
    assert manager.asked() == [("DELETE", "/job/17", None)]


def test_d_before_a_command_is_debug_and_shows_requests_on_stderr(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/job/17", JOB)
    done = batch("-d", "job", "17")
    assert f"GET {manager.url}/job/17 → 200" in done.err
    assert "GET" not in done.out


def test_debug_adds_the_traceback_and_keeps_the_exit_code(batch: Batch, manager: Manager) -> None:
    done = batch("-d", "queue", "nosuch")
    assert done.code == 5
    assert "Traceback" in done.err
    assert "Traceback" not in batch("queue", "nosuch").err


def test_verbose_says_who_and_where(batch: Batch, hosts: Manager) -> None:
    assert batch("host", "-v").err == f"manager {hosts.url}, user anna\n"
    assert batch("host").err == ""


# authentication


def test_no_password_is_asked_or_sent_when_the_manager_wants_none(batch: Batch, hosts: Manager) -> None:
    assert batch("host", "-P", "pw").code == 0
    assert _basic(hosts) == [None]
    assert hosts.requests[-1].headers["X-Auth-User"] == "anna"


def test_the_password_may_come_from_a_variable(
    batch: Batch, hosts: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.answer("OPTIONS", "/", ["basic", "header"])
    monkeypatch.setenv("BATCH_PASSWORD", "from variable")
    batch("host")
    assert _basic(hosts) == [_header("anna", "from variable")]


def test_the_password_may_come_from_client_yaml(batch: Batch, hosts: Manager, home: Path) -> None:
    hosts.answer("OPTIONS", "/", ["basic"])
    (home / ".config/batchd").mkdir(parents=True)
    (home / ".config/batchd/client.yaml").write_text("password: from file\npasword: x\n")
    done = batch("host")
    assert _basic(hosts) == [_header("anna", "from file")]
    assert "did you mean 'password'" in done.err
    assert "Warning" not in batch("host", "-q").err


def test_disable_auth_does_not_even_ask_the_manager(batch: Batch, hosts: Manager, home: Path) -> None:
    hosts.answer("OPTIONS", "/", ["basic"])
    (home / ".config/batchd").mkdir(parents=True)
    (home / ".config/batchd/client.yaml").write_text("disable_auth: true\n")
    assert batch("host").code == 0
    assert [one.method for one in hosts.requests] == ["GET"]


def test_else_the_password_is_asked_on_the_terminal_and_not_shown(hosts: Manager, home: Path) -> None:
    hosts.answer("OPTIONS", "/", ["basic"])
    code, shown = on_a_terminal("host", typed=["geheim"], BATCH_MANAGER_URL=hosts.url)
    assert (code, set(_basic(hosts))) == (0, {_header("anna", "geheim")})
    assert "Password for anna: " in shown
    assert "geheim" not in shown


def test_without_a_terminal_a_missing_password_is_an_error(hosts: Manager, home: Path) -> None:
    hosts.answer("OPTIONS", "/", ["basic"])
    done = subprocess.run(
        [str(BATCH), "host"],
        env=os.environ | {"BATCH_MANAGER_URL": hosts.url},
        input="not a password\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "BATCH_PASSWORD" in done.stderr
    assert _basic(hosts) == []


# errors


@pytest.mark.parametrize(
    ("status", "code"), [(400, 1), (401, 4), (403, 4), (404, 5), (409, 1), (500, 1), (503, 1)]
)
def test_a_refusal_is_its_sentence_on_stderr_and_a_code(
    status: int, code: int, batch: Batch, manager: Manager
) -> None:
    manager.answer("GET", "/queue/night", "The manager's own sentence.", status)
    done = batch("queue", "night")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("Error: The manager's own sentence.\n")


def test_nobody_there_is_69(batch: Batch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = batch("-M", f"http://127.0.0.1:{free.getsockname()[1]}", "ls")
    assert (done.code, done.out) == (69, "")
    assert "cannot reach the manager" in done.err


def test_an_address_that_is_none_is_an_error(batch: Batch) -> None:
    assert batch("-M", "somewhere", "ls").code == 1


@pytest.mark.parametrize(
    "line", ["nosuch", "ls --nosuch", "job", "job x", "job -5", "enqueue -p", "queue a b", "ls -s lost night"]
)
def test_a_command_line_that_is_none_is_2(line: str, batch: Batch, manager: Manager) -> None:
    done = batch(*line.split())
    assert (done.code, done.out) == (2, "")
    assert "Error" in done.err
    assert manager.requests == []


def test_a_mistyped_command_is_asked_about(batch: Batch) -> None:
    assert "Did you mean enqueue or queue?" in batch("enqeue", "x").err
    assert "Did you mean" not in batch("zzzz").err


def test_escapes_in_a_sentence_do_not_reach_the_terminal(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/queue/night", "no \x1b[31mqueue", 404)
    assert batch("queue", "night").err == "Error: no \\x1b[31mqueue\n"


def test_ctrl_c_is_130_without_a_traceback(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*INTERRUPTIBLE, str(BATCH), "-M", url, "ls"], stderr=subprocess.PIPE, text=True
        )
        silent.settimeout(30)
        asked, _ = silent.accept()
        with asked:
            asked.recv(1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (130, False)


def test_a_reader_that_leaves_early_is_no_traceback(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/queue", [QUEUE] * 20000)
    done = subprocess.run(
        f"{BATCH} ls | head -n 1",
        shell=True,
        env=os.environ | {"BATCH_MANAGER_URL": manager.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("ON")
    assert done.stderr == ""


# tables


def test_a_pipe_gets_plain_aligned_columns(batch: Batch, manager: Manager) -> None:
    manager.answer("GET", "/queue", [QUEUE, QUEUE | {"name": "a", "enabled": False, "host_name": "blade"}])
    assert batch("ls").out == (
        "ON  NAME   TITLE        SCHEDULE  HOST   AUTOSTART  WINDOW\n"
        "*   night  Long nights  nightly\n"
        "-   a      Long nights  nightly   blade\n"
    )


def test_a_terminal_gets_a_drawn_table_with_markup_left_as_text(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/queue", [QUEUE | {"title": "[red]Nights"}])
    code, shown = on_a_terminal("ls", BATCH_MANAGER_URL=manager.url)
    assert code == 0
    assert "[red]Nights" in shown
    assert "\x1b[1m" in shown
    assert "───" in shown


def test_no_color_is_respected(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/queue", [QUEUE])
    _, shown = on_a_terminal("ls", BATCH_MANAGER_URL=manager.url, NO_COLOR="1")
    assert "Long nights" in shown
    assert "\x1b[3" not in shown


def test_letters_that_the_encoding_lacks_are_escapes(manager: Manager, home: Path) -> None:
    manager.answer("GET", "/host", ["ночь"])
    done = subprocess.run(
        [str(BATCH), "host"],
        env=os.environ | {"BATCH_MANAGER_URL": manager.url, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, b"\\u043d\\u043e\\u0447\\u044c\n")
