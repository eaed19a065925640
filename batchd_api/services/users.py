"""Users, their passwords and grants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import installation, permissions, queues, users
from batchd_api.errors import LastSuperuser, PermissionNotFound, UnknownInBody, UserNotFound
from batchd_api.permissions import DEFAULT_HOST, Grant, Right
from batchd_api.schemas import checked_name
from batchd_api.services.ground import Ground
from batchd_api.services.passwords import Passwords, cut, is_legacy
from batchd_api.services.rows import insert_named


@dataclass(frozen=True, kw_only=True)
class Account:
    name: str
    password_hash: str
    grants: tuple[Grant, ...]


class Users:
    def __init__(self, database: Database, passwords: Passwords, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    def names(self) -> list[str]:
        with self._database.read() as connection:
            return list(connection.execute(select(users.c.name).order_by(users.c.name)).scalars())

    def find(self, name: str) -> Account | None:
        """The user with its grants, in one statement: it is asked at every request."""
        with self._database.read() as connection:
            return account_of(connection, name)

    def find_cut(self, cut_name: str) -> Account | None:
        """Whom a client may mean that cuts code points to 8 bits."""
        with self._database.read() as connection:
            names = connection.execute(select(users.c.name).order_by(users.c.name)).scalars().all()
        meant = [name for name in names if cut(name) == cut_name]
        return self.find(min(meant, key=lambda name: name != cut_name)) if meant else None

    def are_wide(self) -> bool:
        """Whether cutting changes anybody's name or password. Of all users: no answer tells about one."""
        with self._database.read() as connection:
            rows = connection.execute(select(users.c.name, users.c.password_hash)).all()
        return any(
            cut(name) != name or (" " in password_hash and not is_legacy(password_hash))
            for name, password_hash in rows
        )

    def verify(self, account: Account | None, password: str, *, as_cut: bool = False) -> bool:
        check = self._passwords.verify_cut if as_cut else self._passwords.verify
        return check(account.password_hash if account else None, password)

    def modernized(self, account: Account, password: str) -> Account:
        """The account after a right password, its hash of an old installation replaced by one of ours."""
        if not is_legacy(account.password_hash):
            return account
        with self._database.write() as connection:
            connection.execute(
                update(users)
                .where(users.c.name == account.name, users.c.password_hash == account.password_hash)
                .values(password_hash=self._passwords.hash(password))
            )
        return self.find(account.name) or account

    def create(self, name: str, password: str, *, superuser: bool = False) -> str:
        name = checked_name("user", name)
        password_hash = self._passwords.hash(password)
        with self._database.write() as connection:
            values = {"name": name, "password_hash": password_hash, "created_at": self._clock()}
            insert_named(connection, users, "user", values)
            if superuser:
                grant(connection, name, Grant(right=Right.SUPER_USER))
        return name

    def set_password(self, name: str, password: str | None) -> None:
        """None leaves it as it is, of a user who exists."""
        if password is None:
            with self._database.read() as connection:
                _require_user(connection, name)
            return
        password_hash = self._passwords.hash(password)
        with self._database.write() as connection:
            changed = connection.execute(
                update(users).where(users.c.name == name).values(password_hash=password_hash)
            )
            if changed.rowcount == 0:
                raise UserNotFound(name)

    def delete(self, name: str) -> None:
        """With its permissions; its jobs keep the name."""
        with self._database.write() as connection:
            _require_user(connection, name)
            _require_another_superuser(connection, permissions.c.user_name != name)
            connection.execute(delete(permissions).where(permissions.c.user_name == name))
            connection.execute(delete(users).where(users.c.name == name))


class Permissions:
    """What users were granted, as REST shows and changes it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def of(self, user_name: str) -> list[tuple[int, dict[str, Any]]]:
        """Each with its id, the oldest first."""
        query = select(permissions).where(permissions.c.user_name == user_name).order_by(permissions.c.id)
        with self._ground.database.read() as connection:
            _require_user(connection, user_name)
            rows = connection.execute(query).mappings().all()
        return [(row["id"], {key: row[key] for key in row if key != "id"}) for row in rows]

    def grant(self, user_name: str, given: Grant) -> int:
        if given.type_name is not None:
            self._ground.known_type(given.type_name)
        if given.host_name not in (None, DEFAULT_HOST):
            self._ground.known_host(str(given.host_name))
        with self._ground.database.write() as connection:
            _require_user(connection, user_name)
            if given.queue_name is not None and not _has(connection, queues.c.name, given.queue_name):
                raise UnknownInBody("queue", given.queue_name)
            return grant(connection, user_name, given)

    def revoke(self, user_name: str, permission_id: int) -> None:
        with self._ground.database.write() as connection:
            _require_user(connection, user_name)
            mine = (permissions.c.id == permission_id, permissions.c.user_name == user_name)
            if connection.execute(select(permissions.c.id).where(*mine)).first() is None:
                raise PermissionNotFound(permission_id)
            _require_another_superuser(connection, permissions.c.id != permission_id)
            connection.execute(delete(permissions).where(*mine))


def account_of(connection: Connection, name: str) -> Account | None:
    if "\0" in name:
        return None
    query = (
        select(users.c.password_hash, permissions)
        .join_from(users, permissions, isouter=True)
        .where(users.c.name == name)
    )
    rows = connection.execute(query).mappings().all()
    if not rows:
        return None
    grants = tuple(grant_of(row) for row in rows if row["permission"] in set(Right))
    return Account(name=name, password_hash=rows[0]["password_hash"], grants=grants)


def grant(connection: Connection, user_name: str, given: Grant) -> int:
    """The id of the new permission."""
    values = {
        "user_name": user_name,
        "permission": given.right,
        "queue_name": given.queue_name,
        "type_name": given.type_name,
        "host_name": given.host_name,
    }
    query = insert(permissions).values(values).returning(permissions.c.id)
    return int(connection.execute(query).scalar_one())


def grant_of(row: Any) -> Grant:
    return Grant(
        right=Right(row["permission"]),
        queue_name=row["queue_name"],
        type_name=row["type_name"],
        host_name=row["host_name"],
    )


def _require_user(connection: Connection, name: str) -> None:
    if not _has(connection, users.c.name, name):
        raise UserNotFound(name)


def _has(connection: Connection, column: Any, name: str) -> bool:
    found = "\0" not in name and connection.execute(select(column).where(column == name)).first()
    return bool(found)


def _require_another_superuser(connection: Connection, left: Any) -> None:
    """Refuse what would leave nobody who may grant anything, where there is somebody now."""
    # One at a time: two superusers that go at once would each see the other.
    connection.execute(select(installation.c.id).with_for_update())
    superusers = select(permissions.c.id).where(permissions.c.permission == Right.SUPER_USER)
    if connection.execute(superusers).first() and not connection.execute(superusers.where(left)).first():
        raise LastSuperuser
