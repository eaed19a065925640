"""Where a password is kept between commands: a file that only its owner can read, or the keyring.

The file is JSON: the manager's address → the user's name → the password.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchd_cli.errors import ConfigError
from batchd_cli.lazy import heavy

OTHERS = 0o077


@dataclass(frozen=True, kw_only=True)
class Found:
    """A password, and where it was."""

    password: str
    source: str


def default_path() -> Path:
    return Path.home() / ".config" / "batchd" / "credentials"


def readable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & OTHERS)


def find(path: Path, url: str, username: str) -> Found | None:
    """From the file, else from the keyring. Errors: ConfigError for a file that cannot be used."""
    password = _read(path).get(_key(url), {}).get(username)
    if password is not None:
        return Found(password=password, source=str(path))
    for ring in _keyring():
        if (password := ring.get(_key(url), username)) is not None:
            return Found(password=password, source="keyring")
    return None


def store(path: Path, url: str, username: str, password: str, *, in_file: bool = False) -> str:
    """Into the keyring where there is one, else into the file; where it is now."""
    for ring in () if in_file else _keyring():
        if ring.put(_key(url), username, password):
            return "the keyring"
    known = _read(path)
    known.setdefault(_key(url), {})[username] = password
    _write(path, known)
    return str(path)


def forget(path: Path, url: str, username: str) -> bool:
    """Whether there was one to forget."""
    forgotten = any(ring.remove(_key(url), username) for ring in _keyring())
    known = _read(path)
    if known.get(_key(url), {}).pop(username, None) is not None:
        _write(path, {address: names for address, names in known.items() if names})
        forgotten = True
    return forgotten


def _key(url: str) -> str:
    return url.rstrip("/")


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        if readable_by_others(path):
            raise ConfigError(f"{path} has passwords and can be read by others; run: chmod 600 {path}")
        known = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(url): {str(name): str(one) for name, one in names.items()} for url, names in known.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}; `batch login` writes it anew once it is gone") from error


def _write(path: Path, known: dict[str, dict[str, str]]) -> None:
    """Never readable by others, not even for a moment, and whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=2)
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error}") from error


def _keyring() -> Iterator[Any]:
    """The module that speaks to the keyring, if the package `keyring` is installed."""
    try:
        yield heavy("keyring_passwords")
    except ModuleNotFoundError:
        return
