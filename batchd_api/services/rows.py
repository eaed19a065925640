"""Rows with a name that must be new."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, exc, insert, select

from batchd_api.errors import AlreadyExists


def insert_named(connection: Connection, table: Table, kind: str, values: dict[str, Any]) -> None:
    name = values["name"]
    if connection.execute(select(table.c.name).where(table.c.name == name)).first() is not None:
        raise AlreadyExists(kind, name)
    try:
        connection.execute(insert(table).values(values))
    except exc.IntegrityError as error:  # another one was faster, on a database with several writers
        raise AlreadyExists(kind, name) from error
