"""`batchd doctor`: each line is ok, or says what to do."""

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from batchd_api import checkup
from batchd_api.changes import CHANGES, unsaid
from batchd_api.checkup import Verdict
from batchd_api.config_check import check_config
from batchd_api.db.session import Database
from batchd_api.db.tables import queues
from batchd_api.db.upgrade import upgrade
from batchd_api.services.installation import ensure_first_rows
from tests.prefect_server import free_port

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.config = folder / "batchd.yaml"
        self.port, self.prefect_port = free_port(), free_port()
        self.write()

    def write(self, text: str = "") -> None:
        self.config.write_text(
            f"state_directory: {self.state}\ntimezone: Europe/Berlin\n"
            f"manager: {{port: {self.port}}}\nprefect: {{port: {self.prefect_port}}}\n{text}"
        )

    def findings(self, topic: str) -> list[tuple[Verdict, str]]:
        checked = check_config(self.config, {"HOME": str(self.folder)})
        return [(f.verdict, f.text) for f in checkup.everything(checked, NOW) if f.topic == topic]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return Place(tmp_path)


@contextmanager
def taken(port):
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        yield


def test_a_sound_installation_has_nothing_to_fix(place):
    for topic in ("versions", "configuration", "clock", "folders", "ports", "database", "prefect"):
        findings = place.findings(topic)
        assert findings, topic
        assert [verdict for verdict, _ in findings if verdict is Verdict.FIX] == [], findings


def test_the_clock_is_shown_in_the_installations_zone(place):
    assert place.findings("clock") == [(Verdict.OK, "2026-01-02 04:04:05 in Europe/Berlin")]


def test_a_taken_port_is_named_with_its_key(place):
    with taken(place.port):
        verdict, text = place.findings("ports")[0]
    assert verdict is Verdict.FIX
    assert text.startswith(f"{place.port} (manager.port) cannot be had on 127.0.0.1")


def test_a_state_folder_that_others_may_use_is_told_with_the_command(place):
    place.state.chmod(0o755)
    assert place.findings("folders") == [
        (Verdict.FIX, f"{place.state} can be used by others (mode 755): chmod 700 {place.state}")
    ]


def test_a_database_says_its_revision_and_who_serves_it(place):
    database = Database(f"sqlite:///{place.state / 'batchd.db'}")
    upgrade(database)
    database.close()
    assert [verdict for verdict, _ in place.findings("database")] == [Verdict.OK]
    assert place.findings("dispatchers")[0][1].startswith("none is alive")


def test_a_queue_whose_jobs_cannot_run_as_its_user_is_told_with_the_way_out(place, monkeypatch):
    database = Database(f"sqlite:///{place.state / 'batchd.db'}")
    upgrade(database)
    with database.write() as connection:
        ensure_first_rows(connection, NOW)
        connection.execute(update(queues).values(run_as="nobody"))
    database.close()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert place.findings("run_as") == [(Verdict.OK, 'jobs of the queue "default" run as nobody')]
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    verdict, text = place.findings("run_as")[0]
    assert (verdict, "start it as root, or take run_as away" in text) == (Verdict.FIX, True)


def test_a_database_that_is_none_is_told(place):
    (place.state / "batchd.db").write_bytes(b"no database at all" * 100)
    assert place.findings("database")[0][0] is Verdict.FIX


def test_an_external_prefect_server_that_does_not_answer_is_told(place):
    url = f"http://127.0.0.1:{free_port()}/api"
    place.config.write_text(f"state_directory: {place.state}\nprefect: {{api_url: {url}}}\n")
    assert place.findings("prefect") == [
        (Verdict.FIX, f"{url} does not answer: start it, or correct prefect.api_url")
    ]


def host(place, text):
    (place.folder / "hosts").mkdir(exist_ok=True)
    (place.folder / "hosts" / "h.yaml").write_text(f"name: h\n{text}")


def test_a_host_whose_key_is_encrypted_or_unknown_is_told_with_the_way_out(place):
    key = place.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "s3cret", "-f", key], check=True)
    host(place, f"private_key: {key}\n")
    texts = [text for verdict, text in place.findings("ssh") if verdict is Verdict.FIX]
    assert ["encrypted" in texts[0], "batchd-admin trust-host h" in texts[1]] == [True, True]


def test_a_controller_that_cannot_be_asked_is_told(place):
    (place.folder / "controllers").mkdir()
    (place.folder / "controllers" / "docks.yaml").write_text(
        "name: docks\ndriver: docker\nunix_socket: /nowhere\n"
    )
    host(place, "controller: docks\n")
    verdict, text = place.findings("controllers")[0]
    assert (verdict, "h" in text) == (Verdict.FIX, True)


def test_what_changed_on_purpose_is_said_until_the_file_decides_it(place):
    assert {change.key for change in unsaid(place.config)} == {change.key for change in CHANGES}
    place.config.write_text("manager: {host: 127.0.0.1}\ndispatcher: {environment: clean}\n")
    assert not {"manager.host", "dispatcher.environment"} & {change.key for change in unsaid(place.config)}
    assert unsaid(None) == ()


def test_the_command_prints_a_line_a_finding_and_ends_with_1_where_something_is_to_fix(place):
    program = [Path(sys.executable).parent / "batchd", "doctor", "-c", place.config, "--json"]
    with taken(place.prefect_port):
        done = subprocess.run(program, capture_output=True, text=True, timeout=90)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert {"topic", "verdict", "text"} == set(records[0])
    assert "FIX" in [record["verdict"] for record in records]
