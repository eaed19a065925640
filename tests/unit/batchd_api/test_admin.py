"""`batchd-admin` on a database of its own."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from batchd_api.admin import main
from batchd_api.db.session import Database
from batchd_api.permissions import SUPERUSER
from batchd_api.services.users import Users
from tests.ground import NOW, quick_passwords


@pytest.fixture
def state(tmp_path):
    """An installation whose folders are all below `tmp_path`."""
    (tmp_path / "batchd.yaml").write_text(f"state_directory: {tmp_path / 'state'}\n")
    before = os.umask(0o077)
    yield tmp_path / "state"
    os.umask(before)  # the process is pytest's


@pytest.fixture
def admin(state):
    def run(*arguments, **fields):
        return CliRunner().invoke(main, ["-c", str(state.parent / "batchd.yaml"), *arguments], **fields)

    return run


@pytest.fixture
def database(state):
    database = Database(f"sqlite:///{state / 'batchd.db'}")
    yield database
    database.close()


def users(database):
    return Users(database, quick_passwords(), lambda: NOW)


def test_create_superuser_makes_a_fresh_database_and_root(admin, database):
    result = admin("create-superuser", "--password-stdin", input="secret\n")
    assert (result.exit_code, result.stdout) == (0, 'The superuser "root" was created.\n')
    account = users(database).find("root")
    assert account.grants == SUPERUSER
    assert users(database).verify(account, "secret")


def test_a_password_is_asked_twice(admin, database):
    result = admin("create-superuser", "ann", input="secret\nother\nsecret\nsecret\n")
    assert result.exit_code == 0
    assert "secret" not in result.output
    assert users(database).verify(users(database).find("ann"), "secret")


def test_passwd_sets_a_password(admin, database):
    admin("create-superuser", "--password-stdin", input="old\n")
    assert admin("passwd", "--password-stdin", input="new\n").exit_code == 0
    assert users(database).verify(users(database).find("root"), "new")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("passwd", "nobody"), 'There is no user "nobody".'),
        (("create-superuser", "root"), 'There is a user named "root" already.'),
        (("create-superuser", "a:b"), "The name of a user is made of"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(admin, arguments, sentence):
    admin("create-superuser", "--password-stdin", input="x\n")
    result = admin(*arguments, "--password-stdin", input="x\n")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"batchd-admin: {sentence}")
    assert result.stderr.count("\n") == 1


def test_an_empty_password_is_refused(admin):
    result = admin("create-superuser", "--password-stdin", input="")
    assert (result.exit_code, result.stderr) == (1, "batchd-admin: A password cannot be empty.\n")


def test_upgrade_db_says_what_it_did(admin):
    assert "revision" in admin("upgrade-db").stdout
    assert admin("upgrade-db").stdout == "The database was up to date.\n"


def test_import_users_says_what_was_found_taken_and_skipped(admin, database, state):
    with closing(sqlite3.connect(state.parent / "old.db")) as old:
        old.executescript(
            """
            CREATE TABLE user (name TEXT, password_hash TEXT, salt TEXT);
            INSERT INTO user VALUES ('ann', 'x', 'y'), ('a:b', 'x', 'y');
            """
        )
    result = admin("import-users", str(state.parent / "old.db"))
    assert (result.exit_code, result.stderr) == (0, "")
    for line in (
        "found: user (2 rows)",
        'taken: user "ann"',
        'skipped: user "a:b"',
        "manager.auth.static_salt",
    ):
        assert line in result.stdout
    assert users(database).names() == ["ann"]
    again = admin("import-users", str(state.parent / "old.db"))
    assert "Taken: 0, skipped: 2." in again.stdout
    missing = admin("import-users", str(state.parent / "gone.db"))
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)


def test_a_database_of_another_version_is_left_alone(admin, database):
    admin("upgrade-db")
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'other'"))
    for arguments in (("create-superuser", "--password-stdin"), ("upgrade-db",)):
        result = admin(*arguments, input="x\n")
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1


def test_a_damaged_file_is_left_alone(admin, state):
    state.mkdir()
    (state / "batchd.db").write_bytes(b"this is no database, whatever its name says" * 100)
    before = (state / "batchd.db").read_bytes()
    result = admin("upgrade-db")
    assert result.exit_code in (1, 2)
    assert result.stderr.count("\n") == 1
    assert (state / "batchd.db").read_bytes() == before


def test_a_bad_configuration_is_a_start_up_error(admin, state):
    (state.parent / "batchd.yaml").write_text("manager:\n  port: many\n")
    result = admin("upgrade-db")
    assert result.exit_code == 2
    assert "batchd.yaml" in result.stderr


def test_a_wrong_word_is_a_usage_error(admin):
    assert admin("destroy-db").exit_code == 2


def test_what_is_made_is_the_owners_alone(state):
    command = [
        sys.executable,
        "-m",
        "batchd_api.admin",
        "-c",
        str(state.parent / "batchd.yaml"),
        "upgrade-db",
    ]
    subprocess.run(command, check=True, capture_output=True)
    for path in (state, *state.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
