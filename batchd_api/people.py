"""What clients send about users and permissions, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchd_api.errors import Invalid
from batchd_api.permissions import Grant, Right


def new_user(body: Mapping[str, Any]) -> tuple[str, str]:
    """Name and password."""
    return _required(body, "name"), _required(body, "password")


def new_password(body: Mapping[str, Any]) -> str | None:
    """None: it stays as it is."""
    return _text(body, "password")


def new_grant(body: Mapping[str, Any]) -> Grant:
    """`user_name` is not looked at: the path says who it is for."""
    return Grant(
        right=_right(_required(body, "permission")),
        queue_name=_text(body, "queue_name"),
        type_name=_text(body, "type_name"),
        host_name=_text(body, "host_name"),
    )


def _right(text: str) -> Right:
    for right in Right:
        if text.lower() == right.lower():
            return right
    raise Invalid(f'There is no permission "{text}"; the permissions are {", ".join(Right)}.')


def _text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise Invalid(f'"{key}" must be a string.')
    if value is not None and "\0" in value:
        raise Invalid(f'"{key}" has a character that is no text.')
    return value


def _required(body: Mapping[str, Any], key: str) -> str:
    value = _text(body, key)
    if value is None:
        raise Invalid(f'"{key}" is missing.')
    return value
