"""`batchd-admin import-users`: from the rows of an original's database to ours.

What is here already stays as it is, so a second run changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from batchd_api.db.tables import queues, schedules, users
from batchd_api.errors import BatchdError
from batchd_api.old_database import REFERENCES, OldRows, Row
from batchd_api.permissions import Grant, Right
from batchd_api.services.passwords import legacy_hash
from batchd_api.services.users import grant
from batchd_flows.errors import FlowsError
from batchd_flows.windows import parse_schedule

MAX_NAME_LENGTH = 64
NO_PASSWORD = "!"  # no hash: nothing verifies against it # noqa: S105
ANYTIME = "anytime"
OFF = ("false", "f", "0", "no")  # a truth value as any database may give it
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHA3 = re.compile(r"[0-9a-fA-F]{64}")
_HERE = "there is one here already, which stays as it is"


@dataclass(kw_only=True)
class Report:
    """Lines for a person: what was taken, and what was not with the reason. `notes` is what to do next."""

    taken: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Refused(BatchdError):
    """{why}"""

    def __init__(self, why: str) -> None:
        super().__init__(why=why)


def import_rows(connection: Connection, old: OldRows, now: datetime) -> Report:
    return _Import(connection, old, now).run()


class _Import:
    def __init__(self, connection: Connection, old: OldRows, now: datetime) -> None:
        self._connection = connection
        self._old = old
        self._now = now
        self._report = Report()
        self._new_users: set[str] = set()

    def run(self) -> Report:
        for kind in self._old.missing:
            self._report.notes.append(f"The old database has no table of the kind {kind}.")
        self._each("schedule", "schedule", self._schedule)
        self._each("queue", "queue", self._queue)
        self._each("user", "user", self._user)
        self._each("permission", "permission of", self._permission)
        return self._report

    def _each(self, kind: str, words: str, take: Any) -> None:
        for row in self._old.tables.get(kind, ()):
            shown = f'{words} "{_pick(row, "name", "username", "login")}"'
            try:
                with self._connection.begin_nested():
                    self._report.taken.append(f"{shown}{take(row)}")
            except Refused as refused:
                self._report.skipped.append(f"{shown}: {refused}")

    def _user(self, row: Row) -> str:
        name = _name(row, "name", "login", "username")
        if ":" in name:
            raise Refused("nobody can log in with a colon in the name")
        self._require_new(users, name)
        digest, salt = _text(_pick(row, "passwordhash", "hash", "password")), _text(_pick(row, "salt"))
        usable = digest is not None and _SHA3.fullmatch(digest) is not None
        password_hash = legacy_hash(digest, salt or "") if digest and usable else NO_PASSWORD
        values = {"name": name, "password_hash": password_hash, "created_at": self._now}
        self._connection.execute(insert(users).values(values))
        self._new_users.add(name)
        if usable:
            return ""
        self._report.notes.append(f'Set a password for "{name}": batchd-admin passwd "{name}"')
        return " (without its password: that is no SHA3-256 hash)"

    def _permission(self, row: Row) -> str:
        name = _name(row, *REFERENCES["user"], "name")
        if name not in self._new_users:
            raise Refused("that user was not taken in this run, so what is granted here stays as it is")
        word = _text(_pick(row, "permission", "right")) or ""
        right = next((right for right in Right if right.lower() == word.lower()), None)
        if right is None:
            raise Refused(f'nobody knows a permission "{word}"')
        narrowed = right is Right.CREATE_JOBS
        given = Grant(
            right=right,
            queue_name=None if right is Right.SUPER_USER else _tie(row, *REFERENCES["queue"]),
            type_name=_tie(row, "typename", "type", "jobtype") if narrowed else None,
            host_name=_tie(row, "hostname", "host") if narrowed else None,
        )
        grant(self._connection, name, given)
        ties = [f"{key} {value}" for key, value in (("queue", given.queue_name), ("type", given.type_name),
                                                    ("host", given.host_name)) if value]  # fmt: skip
        return f": {', '.join([right, *ties])}"

    def _schedule(self, row: Row) -> str:
        name = _name(row, "name")
        self._require_new(schedules, name)
        days = [_day(_pick(row, "weekday", "day")) for row in self._of_schedule("weekday", name)]
        periods = [
            {"begin": _clock(_pick(row, "begin")), "end": _clock(_pick(row, "end"))}
            for row in self._of_schedule("time", name)
        ]
        try:
            parse_schedule(name, days or None, periods or None)
        except FlowsError as error:
            raise Refused(str(error)) from error
        values = {"name": name, "weekdays": days or None, "time": periods or None}
        self._connection.execute(insert(schedules).values(values))
        return ""

    def _of_schedule(self, kind: str, name: str) -> list[Row]:
        rows = self._old.tables.get(kind, ())
        if rows and not any(column in rows[0] for column in REFERENCES["schedule"]):
            raise Refused(
                f"the table of its {kind}s has no column schedulename, so it might be open too long"
            )
        return [row for row in rows if _pick(row, *REFERENCES["schedule"]) == name]

    def _queue(self, row: Row) -> str:
        name = _name(row, "name")
        self._require_new(queues, name)
        schedule = _text(_pick(row, *REFERENCES["schedule"])) or ANYTIME
        if not self._has(schedules, schedule):
            raise Refused(f'its schedule "{schedule}" is not here')
        count = _pick(row, "autostartjobcount")
        enabled = _pick(row, "enabled")
        values = {
            "name": name,
            "title": _text(_pick(row, "title")) or name,
            "enabled": str(enabled).lower() not in OFF,
            "schedule_name": schedule,
            "host_name": _text(_pick(row, "hostname", "host")),
            "autostart_job_count": count if isinstance(count, int) and count > 0 else None,
        }
        self._connection.execute(insert(queues).values(values))
        return ""

    def _require_new(self, table: Table, name: str) -> None:
        if self._has(table, name):
            raise Refused(_HERE)

    def _has(self, table: Table, name: str) -> bool:
        return self._connection.execute(select(table.c.name).where(table.c.name == name)).first() is not None


def _pick(row: Mapping[str, Any], *columns: str) -> Any:
    return next((row[name] for name in columns if row.get(name) is not None), None)


def _tie(row: Row, *columns: str) -> str | None:
    """A column that is merely called otherwise must not become a right for everything."""
    if not any(column in row for column in columns):
        raise Refused(f"its table has no column {columns[0]}, so it might be for less than it says")
    return _text(_pick(row, *columns))


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value) if value not in (None, "") else None


def _name(row: Row, *columns: str) -> str:
    """Old names stay whatever they are, if a column of ours and a line of a terminal can hold them."""
    name = _text(_pick(row, *columns))
    if name is None:
        raise Refused("it has no name")
    if len(name) > MAX_NAME_LENGTH:
        raise Refused(f"its name is longer than {MAX_NAME_LENGTH} characters")
    if not name.isprintable():
        raise Refused("its name has characters that cannot be shown")
    return name


def _day(value: Any) -> str:
    """As a word, whole or its beginning, or counted from Monday = 0 as Haskell's enumerations are."""
    if isinstance(value, int) and 0 <= value < len(DAYS):
        return DAYS[value]
    word = str(value).strip().lower()
    found: Iterable[str] = (day for day in DAYS if len(word) > 1 and day.lower().startswith(word))
    day = next(iter(found), None)
    if day is None:
        raise Refused(f'"{value}" is no day of the week')
    return day


def _clock(value: Any) -> str:
    if isinstance(value, timedelta):
        value = (datetime.min + value).time()
    if isinstance(value, int | float) and 0 <= value < 86400:
        value = (datetime.min + timedelta(seconds=value)).time()
    if not isinstance(value, time):
        try:
            value = time.fromisoformat(str(value).strip())
        except ValueError:
            raise Refused(f'"{value}" is no time of day') from None
    return str(value.strftime("%H:%M:%S"))
