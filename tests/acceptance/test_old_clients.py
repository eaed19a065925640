"""Programs of before this version, as they speak, against the real manager. FAULTS.md: G10."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.acceptance.harness import PASSWORD, USER, Daemon, Installation
from tests.prefect_server import free_port

NOBODY = 65534
LOGIN = (USER, PASSWORD)


@pytest.fixture(scope="module")
def here() -> Iterator[Installation]:
    """A manager alone, in a folder that others may enter, with the usual umask and a state folder like it."""
    folder = Path(tempfile.mkdtemp(prefix="batchd-old-clients-"))
    folder.chmod(0o755)
    here = Installation(folder, prefect=f"api_url: 'http://127.0.0.1:{free_port()}/api'")
    here.state.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        here.create_superuser()
        daemon = Daemon(here, "manager")
    finally:
        os.umask(before)
    try:
        daemon.wait_until_it_answers()
        yield here
    finally:
        daemon.stop()
        here.end_what_is_left()
        shutil.rmtree(folder)


def call(here: Installation, method: str, path: str, record: object = None, **fields: Any) -> Any:
    """As the Python library does: JSON as a text, no Content-Type, and only 200 is a success."""
    data = None if record is None else json.dumps(record)
    answer = requests.request(method, here.url + path, data=data, auth=LOGIN, timeout=60, **fields)
    assert "Content-Type" not in answer.request.headers
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_python_library_sends_json_without_a_content_type(here: Installation) -> None:
    assert requests.options(here.url + "/", timeout=60).json() == ["basic"]
    assert call(here, "POST", "/queue", {"name": "ночь", "title": None, "enabled": True}) == "ночь"
    job = call(here, "POST", "/queue/ночь", {"type": "command", "params": {"command": "true", "args": ""}})
    assert call(here, "PUT", f"/job/{job}", {"priority": "first"}) == "done"
    (record,) = call(here, "GET", "/queue/ночь/jobs?status=new")
    assert (record["id"], record["status"], record["user_name"]) == (job, "New", USER)
    assert len(record["create_time"]) == len("2026-11-24T03:01:43.544300Z")
    assert call(here, "GET", "/stats") == {"ночь": {"new": 1}}
    assert call(here, "DELETE", f"/job/{job}") == "done"
    assert call(here, "DELETE", "/queue/ночь") == "done"


def test_the_python_library_prints_the_sentence_of_an_error(here: Installation) -> None:
    answer = requests.get(here.url + "/queue/gone", auth=LOGIN, timeout=60)
    assert (answer.status_code, answer.text) == (404, 'There is no queue "gone".')
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_old_command_line_sends_a_whole_record_and_its_base_url_ends_with_a_slash(
    here: Installation,
) -> None:
    """It always names what only the server can say, and knows no kind of number but whole ones."""
    record = {
        "id": 0, "queue": "default", "type": "command", "seq": 0, "user_name": "", "status": "New",
        "create_time": "2026-11-24T03:01:43.544300Z", "start_time": None, "try_count": 0, "host_name": None,
        "result_time": None, "exit_code": None, "stdout": None, "stderr": None, "notes": None,
        "params": {"command": "true", "args": ""},
    }  # fmt: skip
    job = call(here, "POST", "//queue/default", record)
    assert call(here, "GET", f"//job/{job}/")["user_name"] == USER
    assert call(here, "DELETE", f"//job/{job}") == "done"


def test_curl_speaks_with_percent_encoded_names(here: Installation) -> None:
    if shutil.which("curl") is None:
        assert "CI" not in os.environ, "curl is missing"
        pytest.skip("curl is not installed")

    def curl(*words: str) -> str:
        login = ["--user", f"{USER}:{PASSWORD}"]
        return subprocess.run(
            ["curl", "-sS", "--fail-with-body", "--noproxy", "*", *login, *words],
            env=here.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    name, encoded = "Ночь 2@+", "%D0%9D%D0%BE%D1%87%D1%8C%202%40%2B"
    assert curl("-d", json.dumps({"name": name}), f"{here.url}/queue") == f'"{name}"'
    job = curl("-d", '{"type": "command"}', f"{here.url}/queue/{encoded}/")
    assert json.loads(curl(f"{here.url}//queue/{encoded}"))["name"] == name
    (record,) = json.loads(curl(f"{here.url}/queue/{encoded}/jobs"))
    assert (str(record["id"]), record["queue"]) == (job, name)
    assert curl("-X", "PUT", "-d", '{"host_name": "*"}', f"{here.url}/job/{job}") == '"done"'
    assert curl("-X", "DELETE", f"{here.url}/queue/{encoded}?forced=true") == '"done"'


def test_g10_nobody_else_reads_the_database_and_the_keys(here: Installation) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can try as somebody else")
    files = [path for path in here.state.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert here.state / "batchd.db" in files
    for path in files:
        tried = subprocess.run(["cat", path], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True)
        assert (tried.returncode != 0, tried.stdout) == (True, b""), path
        assert b"denied" in tried.stderr, path
