"""Where a password may come from, and that nobody else sees it."""

import base64
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from batchd_cli import credentials
from batchd_cli.errors import ConfigError

from .conftest import BATCH, Batch, Manager
from .test_main import on_a_terminal

KEYRING = """
import json, os, pathlib
store = pathlib.Path(os.environ["KEYRING_FILE"])
def _known(): return json.loads(store.read_text()) if store.exists() else {}
def get_password(service, name): return _known().get(f"{service} {name}")
def set_password(service, name, password):
    store.write_text(json.dumps(_known() | {f"{service} {name}": password}))
def delete_password(service, name):
    from keyring.errors import KeyringError
    known = _known()
    if known.pop(f"{service} {name}", None) is None: raise KeyringError
    store.write_text(json.dumps(known))
"""
"""A keyring in a file: the functions of the real package that we call."""


@pytest.fixture
def asking(manager: Manager) -> Manager:
    manager.answer("OPTIONS", "/", ["basic"])
    manager.answer("GET", "/host", ["blade"])
    manager.answer("GET", "/queue", [])
    return manager


def _sent(manager: Manager) -> list[str]:
    headers = [one.headers.get("Authorization") for one in manager.requests if one.method != "OPTIONS"]
    return [base64.b64decode(header.removeprefix("Basic ")).decode() for header in headers if header]


def _run(*words: str, text: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BATCH, *words],
        env=os.environ | variables,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )


def test_it_may_be_the_first_line_of_stdin(asking: Manager, home: Path) -> None:
    done = _run("host", "--password-stdin", text="ge heim\nmore\n", BATCH_MANAGER_URL=asking.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "blade\n", "")
    assert _sent(asking) == ["anna:ge heim"]


def test_a_login_is_tried_and_kept_for_the_next_command(asking: Manager, home: Path) -> None:
    code, shown = on_a_terminal("login", typed=["geheim"], BATCH_MANAGER_URL=asking.url)
    assert code == 0
    assert "geheim" not in shown
    kept = home / ".config/batchd/credentials"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text()) == {asking.url: {"anna": "geheim"}}
    assert _run("host", BATCH_MANAGER_URL=asking.url).stdout == "blade\n"
    assert _sent(asking) == ["anna:geheim"] * 2


def test_a_login_that_the_manager_refuses_is_not_kept(asking: Manager, home: Path) -> None:
    asking.answer("GET", "/queue", "Please log in.", 401)
    done = _run("login", "--password-stdin", text="wrong\n", BATCH_MANAGER_URL=asking.url)
    assert done.returncode == 4
    assert not (home / ".config/batchd/credentials").exists()


def test_a_logout_forgets_only_this_user_at_this_manager(batch: Batch, asking: Manager, home: Path) -> None:
    path = credentials.default_path()
    for url, name in ((asking.url, "anna"), (asking.url, "bob"), ("http://other:9681/", "anna")):
        credentials.store(path, url, name, "pw")
    assert batch("logout").code == 0
    assert json.loads(path.read_text()) == {asking.url: {"bob": "pw"}, "http://other:9681": {"anna": "pw"}}
    assert batch("logout").code == 5


def test_a_credentials_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        credentials.find(path, "http://x", "anna")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"http://x": 3}'])
def test_a_credentials_file_that_is_none_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="credentials"):
        credentials.find(path, "http://x", "anna")


def test_a_client_yaml_with_a_password_that_others_can_read_is_warned_of(
    batch: Batch, asking: Manager, home: Path
) -> None:
    path = home / ".config/batchd/client.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("password: pw\n")
    path.chmod(0o644)
    assert f"chmod 600 {path}" in batch("host").err
    path.chmod(0o600)
    assert batch("host").err == ""


def test_a_keyring_is_used_where_there_is_one(asking: Manager, home: Path) -> None:
    package = home / "lib/keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(KEYRING)
    (package / "errors.py").write_text("class KeyringError(Exception): pass\n")
    variables = {
        "PYTHONPATH": str(home / "lib"),
        "KEYRING_FILE": str(home / "ring"),
        "BATCH_MANAGER_URL": asking.url,
    }
    assert _run("login", "--password-stdin", text="geheim\n", **variables).returncode == 0
    assert not (home / ".config/batchd/credentials").exists()
    assert _run("host", **variables).stdout == "blade\n"
    assert "keyring" in _run("config", "show", **variables).stdout
    assert _sent(asking) == ["anna:geheim"] * 2
    assert _run("logout", **variables).returncode == 0
    assert _run("host", **variables).returncode == 4


def test_settings_never_show_the_password(batch: Batch, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_PASSWORD", "geheim")
    for options in ((), ("--json",)):
        shown = batch("config", "show", *options).out
        assert "geheim" not in shown
        assert "BATCH_PASSWORD" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="the arguments of a process are covered on Linux only")
@pytest.mark.parametrize("form", [["-P", "ge,heim"], ["-Pge,heim"], ["--password=ge,heim"]])
def test_a_password_of_the_command_line_is_covered_in_the_list_of_processes(
    form: list[str], home: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen([str(BATCH), *form, "-M", url, "ls"], stderr=subprocess.DEVNULL)
        try:
            silent.settimeout(30)
            silent.accept()[0].close()
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        finally:
            process.kill()
            process.wait(30)
    assert b"ls" in arguments
    assert b"heim" not in arguments
