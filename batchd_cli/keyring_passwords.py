"""Passwords in the system's keyring, where the package `keyring` is installed (it is not one of ours)."""

import keyring  # type: ignore[import-not-found, unused-ignore]
from keyring.errors import KeyringError  # type: ignore[import-not-found, unused-ignore]

SERVICE = "batchd"


def get(url: str, username: str) -> str | None:
    """None also where the keyring is locked or there is none behind the package."""
    try:
        password: str | None = keyring.get_password(f"{SERVICE} {url}", username)
    except KeyringError:
        return None
    return password


def put(url: str, username: str, password: str) -> bool:
    """Whether it is in there now."""
    try:
        keyring.set_password(f"{SERVICE} {url}", username, password)
    except KeyringError:
        return False
    return True


def remove(url: str, username: str) -> bool:
    """Whether there was one."""
    try:
        keyring.delete_password(f"{SERVICE} {url}", username)
    except KeyringError:
        return False
    return True
