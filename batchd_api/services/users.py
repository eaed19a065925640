"""Users, their passwords and grants."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select, update

from batchd_api.db.session import Database
from batchd_api.db.tables import permissions, users
from batchd_api.errors import Invalid, UserNotFound
from batchd_api.permissions import Grant, Right
from batchd_api.schemas import checked_name
from batchd_api.services.rows import insert_named


@dataclass(frozen=True, kw_only=True)
class Account:
    name: str
    password_hash: str
    grants: tuple[Grant, ...]


class Passwords:
    """Argon2id. A check costs the same whether there is such a user or not."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys_hash = self._hasher.hash(os.urandom(16).hex())

    def hash(self, password: str) -> str:
        if not password:
            raise Invalid("A password cannot be empty.")
        try:
            return self._hasher.hash(password)
        except UnicodeEncodeError:
            raise Invalid("The password has a character that is no text.") from None

    def verify(self, password_hash: str | None, password: str) -> bool:
        """False also for None: nobody's password."""
        try:
            self._hasher.verify(password_hash or self._nobodys_hash, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False
        return password_hash is not None


class Users:
    def __init__(self, database: Database, passwords: Passwords, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    def find(self, name: str) -> Account | None:
        """The user with its grants, in one statement: it is asked at every request."""
        if "\0" in name:
            return None
        query = (
            select(users.c.password_hash, permissions)
            .join_from(users, permissions, isouter=True)
            .where(users.c.name == name)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        if not rows:
            return None
        grants = tuple(_grant(row) for row in rows if row["permission"] in set(Right))
        return Account(name=name, password_hash=rows[0]["password_hash"], grants=grants)

    def verify(self, account: Account | None, password: str) -> bool:
        return self._passwords.verify(account.password_hash if account else None, password)

    def create(self, name: str, password: str, *, superuser: bool = False) -> str:
        name = checked_name("user", name)
        password_hash = self._passwords.hash(password)
        with self._database.write() as connection:
            values = {"name": name, "password_hash": password_hash, "created_at": self._clock()}
            insert_named(connection, users, "user", values)
            if superuser:
                grant(connection, name, Grant(right=Right.SUPER_USER))
        return name

    def set_password(self, name: str, password: str) -> None:
        password_hash = self._passwords.hash(password)
        with self._database.write() as connection:
            changed = connection.execute(
                update(users).where(users.c.name == name).values(password_hash=password_hash)
            )
            if changed.rowcount == 0:
                raise UserNotFound(name)


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


def _grant(row: object) -> Grant:
    found: dict[str, str | None] = dict(row)  # type: ignore[call-overload]
    return Grant(
        right=Right(str(found["permission"])),
        queue_name=found["queue_name"],
        type_name=found["type_name"],
        host_name=found["host_name"],
    )
