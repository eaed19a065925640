"""What an original's database holds comes over, once, and nothing in it is touched."""

import shutil
import sqlite3
from contextlib import closing
from hashlib import sha3_256

import pytest
from sqlalchemy import create_engine, select, text

from batchd_api.db.tables import permissions, queues, schedules
from batchd_api.errors import StartupError
from batchd_api.imports import import_rows
from batchd_api.old_database import read_old_database, refuse_originals
from batchd_api.permissions import Grant, Right
from batchd_api.services.passwords import Passwords
from batchd_api.services.users import Users
from tests.ground import NOW, quick_passwords

SALT, STATIC = "pepper", "static"
DIGEST = sha3_256(f"geheim{SALT}{STATIC}".encode()).hexdigest()
SCRIPT = f"""
CREATE TABLE "user" (name VARCHAR PRIMARY KEY, password_hash VARCHAR, salt VARCHAR);
INSERT INTO "user" VALUES ('ann', '{DIGEST}', '{SALT}');
INSERT INTO "user" VALUES ('bob', 'plain', '');
INSERT INTO "user" VALUES ('a:b', '{DIGEST}', '{SALT}');
CREATE TABLE user_permission (id INTEGER PRIMARY KEY, user_name VARCHAR, permission VARCHAR,
  queue_name VARCHAR, type_name VARCHAR, host_name VARCHAR);
INSERT INTO user_permission VALUES (1, 'ann', 'CreateJobs', 'Ночь 2', NULL, '__default__');
INSERT INTO user_permission VALUES (2, 'ann', 'FlyJobs', NULL, NULL, NULL);
CREATE TABLE schedule (name VARCHAR PRIMARY KEY);
INSERT INTO schedule VALUES ('anytime');
INSERT INTO schedule VALUES ('the night');
CREATE TABLE schedule_time (id INTEGER PRIMARY KEY, schedule_name VARCHAR, "begin" TIME, "end" TIME);
INSERT INTO schedule_time VALUES (1, 'the night', '22:00:00', '06:00:00');
CREATE TABLE schedule_week_day (id INTEGER PRIMARY KEY, schedule_name VARCHAR, week_day VARCHAR);
INSERT INTO schedule_week_day VALUES (1, 'the night', 'Monday');
CREATE TABLE queue (name VARCHAR PRIMARY KEY, title VARCHAR, enabled BOOLEAN, schedule_name VARCHAR,
  host_name VARCHAR, autostart_job_count INTEGER);
INSERT INTO queue VALUES ('Ночь 2', 'Night', true, 'the night', 'farm', 3);
INSERT INTO queue VALUES ('lost', 'Lost', true, 'gone', NULL, NULL);
CREATE TABLE job (id INTEGER PRIMARY KEY, queue_name VARCHAR);
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def source(request, tmp_path):
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "old.db")) as old:
            old.executescript(SCRIPT)
        return str(tmp_path / "old.db")
    url = request.getfixturevalue("postgres").new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(SCRIPT.replace(":", r"\:")))
    engine.dispose()
    return url


def taken(here, source):
    old = read_old_database(source)
    with here.database.write() as connection:
        return import_rows(connection, old, NOW)


def test_g14_an_old_hash_is_verified_once_and_replaced(here, source):
    report = taken(here, source)
    users = Users(here.database, Passwords(quick_passwords()._hasher, static_salt=STATIC), lambda: NOW)
    ann = users.find("ann")
    assert not users.verify(ann, "wrong")
    assert users.verify(ann, "geheim")
    assert users.modernized(ann, "geheim").password_hash.startswith("$argon2id$")
    assert users.verify(users.find("ann"), "geheim")
    assert not users.verify(users.find("bob"), "plain")
    assert any("batchd-admin passwd" in note for note in report.notes)
    assert ann.grants == (Grant(right=Right.CREATE_JOBS, queue_name="Ночь 2", host_name="__default__"),)


def test_queues_and_schedules_come_too_and_what_stays_behind_is_said_with_its_reason(here, source):
    report = taken(here, source)
    with here.database.read() as connection:
        night = connection.execute(select(queues).where(queues.c.name == "Ночь 2")).one()
        window = connection.execute(select(schedules).where(schedules.c.name == "the night")).one()
    assert (night.title, night.schedule_name, night.host_name, night.autostart_job_count) == (
        "Night", "the night", "farm", 3)  # fmt: skip
    assert (window.weekdays, window.time) == (["Monday"], [{"begin": "22:00:00", "end": "06:00:00"}])
    skipped = "\n".join(report.skipped)
    for words in ('schedule "anytime"', 'queue "lost": its schedule "gone"', 'user "a:b"', "FlyJobs"):
        assert words in skipped


def test_a_second_run_changes_nothing(here, source):
    taken(here, source)
    count = here.count(permissions)
    assert taken(here, source).taken == []
    assert here.count(permissions) == count


def test_an_originals_database_is_recognised_and_not_touched(here, source, tmp_path):
    url = f"sqlite:///{source}" if source.startswith("/") else source
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(StartupError, match="batchd-admin import-users"):
        refuse_originals(url)
    taken(here, source)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_original_that_was_killed_is_recognised_by_what_is_still_in_its_journal(tmp_path):
    killed = tmp_path / "killed" / "old.db"
    killed.parent.mkdir()
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("PRAGMA journal_mode=WAL")
        old.executescript(SCRIPT)
        for suffix in ("", "-wal"):  # as they lie there while it runs
            shutil.copy(tmp_path / f"old.db{suffix}", killed.with_name(f"old.db{suffix}"))
    before = {file.name: file.read_bytes() for file in killed.parent.iterdir()}
    with pytest.raises(StartupError, match="batchd-admin import-users"):
        refuse_originals(f"sqlite:///{killed}")
    assert len(read_old_database(str(killed)).tables["user"]) == 3
    assert {file.name: file.read_bytes() for file in killed.parent.iterdir()} == before


def test_rows_that_refer_to_others_by_number_are_understood(here, tmp_path):
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript(
            f"""
            CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT, name TEXT, hash TEXT, salt TEXT);
            INSERT INTO users VALUES (7, NULL, 'ann', '{DIGEST}', '{SALT}');
            CREATE TABLE permissions (id INTEGER, user_id INTEGER, permission TEXT, queue_id INTEGER);
            INSERT INTO permissions VALUES (1, 7, 'viewjobs', 3);
            CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT, enabled TEXT, schedule_id INTEGER);
            INSERT INTO queues VALUES (3, 'q', 'False', 5);
            CREATE TABLE schedules (id INTEGER PRIMARY KEY, name TEXT);
            INSERT INTO schedules VALUES (5, 'night');
            CREATE TABLE schedule_times (schedule_id INTEGER, "begin" INTEGER, "end" INTEGER);
            INSERT INTO schedule_times VALUES (5, 79200, 21600);
            """
        )
    report = taken(here, f"sqlite:///{tmp_path / 'old.db'}")
    assert report.skipped == []
    users = Users(here.database, quick_passwords(), lambda: NOW)
    assert users.find("ann").grants == (Grant(right=Right.VIEW_JOBS, queue_name="q"),)
    with here.database.read() as connection:
        queue = connection.execute(select(queues).where(queues.c.name == "q")).one()
        night = connection.execute(select(schedules).where(schedules.c.name == "night")).one()
    assert (queue.enabled, queue.schedule_name) == (False, "night")
    assert night.time == [{"begin": "22:00:00", "end": "06:00:00"}]


def test_what_narrows_a_permission_or_a_schedule_and_cannot_be_found_does_not_count_as_anything(
    here, tmp_path
):
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript(
            f"""
            CREATE TABLE user (name TEXT, password_hash TEXT, salt TEXT);
            INSERT INTO user VALUES ('ann', '{DIGEST}', '{SALT}');
            CREATE TABLE user_permission (user_name TEXT, permission TEXT, for_queue TEXT);
            INSERT INTO user_permission VALUES ('ann', 'ManageJobs', 'q');
            CREATE TABLE schedule (name TEXT);
            INSERT INTO schedule VALUES ('night');
            CREATE TABLE schedule_time (of_schedule TEXT, "begin" TEXT, "end" TEXT);
            INSERT INTO schedule_time VALUES ('night', '22:00:00', '06:00:00');
            """
        )
    skipped = "".join(taken(here, str(tmp_path / "old.db")).skipped)
    assert "no column queuename" in skipped
    assert "no column schedulename" in skipped
    assert here.count(permissions) == 0
    assert here.count(schedules, schedules.c.name == "night") == 0


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_old_database_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    for name in ("x", "gone"):
        with pytest.raises(StartupError):
            read_old_database(str(tmp_path / name))
    refuse_originals(f"sqlite:///{tmp_path / 'x'}")
