"""What clients send about users and permissions, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchd_api.errors import Invalid
from batchd_api.permissions import Grant, Right
from batchd_api.schemas import required_in, text_in


def new_user(body: Mapping[str, Any]) -> tuple[str, str]:
    """Name and password."""
    return required_in(body, "name"), required_in(body, "password")


def new_password(body: Mapping[str, Any]) -> str | None:
    """None: it stays as it is."""
    return text_in(body, "password")


def new_grant(body: Mapping[str, Any]) -> Grant:
    """`user_name` is not looked at: the path says who it is for."""
    return Grant(
        right=_right(required_in(body, "permission")),
        queue_name=text_in(body, "queue_name"),
        type_name=text_in(body, "type_name"),
        host_name=text_in(body, "host_name"),
    )


def _right(text: str) -> Right:
    for right in Right:
        if text.lower() == right.lower():
            return right
    raise Invalid(f'There is no permission "{text}"; the permissions are {", ".join(Right)}.')
