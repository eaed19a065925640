"""What cannot work is refused at the start: one sentence on stderr, exit code 2, and nothing left behind."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.harness import Installation, installation

REFUSED = 2


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "here") as here:
        yield here


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def refused(here: Installation, *words: str, **variables: str) -> str:
    """The sentence with which `batchd` refuses to start."""
    done = here.run("batchd", "-c", str(here.config), *words, **variables)
    return sentence_of(done)


def sentence_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == REFUSED, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("batchd: ")
    return lines[0]


def test_a_port_of_the_facade_that_another_program_has(here: Installation) -> None:
    with taken(here.port):
        said = refused(here)
    assert f"port {here.port}" in said
    assert "manager.port" in said
    here.assert_nothing_left()


def test_a_port_of_prefect_that_another_program_has(here: Installation) -> None:
    with taken(here.prefect_port):
        said = refused(here)
    assert str(here.prefect_port) in said
    assert "prefect.port" in said


def test_a_state_folder_that_is_a_file(here: Installation) -> None:
    file = here.folder / "file"
    file.touch()
    here.config.write_text(f"state_directory: {file}\n")
    assert str(file) in refused(here)


def test_a_state_folder_inside_a_file(here: Installation) -> None:
    file = here.folder / "file"
    file.touch()
    here.config.write_text(f"state_directory: {file}/state\n")
    assert f"{file}/state" in refused(here)


def test_a_database_of_a_newer_version(here: Installation) -> None:
    with closing(sqlite3.connect(here.state / "batchd.db")) as database, database:
        database.execute("update alembic_version set version_num = '9999'")
    said = refused(here)
    assert "newer version" in said
    assert "9999" in said


def test_the_originals_own_database_is_not_touched(here: Installation) -> None:
    old = here.folder / "old.db"
    with closing(sqlite3.connect(old)) as database:
        database.executescript(
            'create table "user" (name); create table queue (name); create table job (id);'
        )
    before = old.read_bytes()
    here.config.write_text(f"{here.config.read_text()}connection_string: {old}\n")
    assert "batchd-admin import-users" in refused(here)
    assert old.read_bytes() == before
    assert [file.name for file in here.folder.glob("old.db*")] == ["old.db"]


@pytest.mark.parametrize("auth", ["disable", "{header: true}"])
def test_g15_a_door_that_stands_open_to_other_machines(auth: str, here: Installation) -> None:
    text = here.config.read_text().replace("manager: {", f"manager: {{host: 0.0.0.0, auth: {auth}, ")
    here.config.write_text(text)
    said = refused(here)
    assert "manager.allow_insecure" in said
    assert "127.0.0.1" in said
    here.assert_nothing_left()


@pytest.mark.parametrize(
    ("text", "where", "key"),
    [
        ("daemon: Both\nmanager:\n  port: many\n", ":3:", "manager.port"),
        ("daemon: Everything\n", ":1:", "daemon"),
        ("manager: {port: 9681\n", ":2:", "manager: not valid YAML"),
    ],
)
def test_a_configuration_that_says_nonsense(text: str, where: str, key: str, here: Installation) -> None:
    here.config.write_text(text)
    said = refused(here)
    assert f"{here.config}{where}" in said
    assert key in said


def test_a_configuration_that_is_not_there(here: Installation) -> None:
    here.config.unlink()
    assert str(here.config) in refused(here)


def test_a20_a_pair_of_prefect_and_fastapi_that_does_not_work(here: Installation, tmp_path: Path) -> None:
    """Only metadata is looked at, so metadata of a newer FastAPI in front of the true one stands for it."""
    info = tmp_path / "packages" / "fastapi-0.160.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        textwrap.dedent("""\
            Metadata-Version: 2.1
            Name: fastapi
            Version: 0.160.0
            """)
    )
    said = refused(here, PYTHONPATH=str(info.parent))
    assert "fastapi 0.160.0" in said
    assert "fastapi>=0.139,<0.151" in said


def test_an_auth_string_that_others_can_read(here: Installation) -> None:
    file = here.state / "prefect-auth"
    file.write_text("batchd:secret\n")
    file.chmod(0o644)
    assert str(file) in refused(here)


def test_words_that_are_no_mode(here: Installation) -> None:
    done = here.run("batchd", "everything")
    assert done.returncode == REFUSED
    assert "'everything' is not one of" in done.stderr
