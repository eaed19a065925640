"""The keys we offer at a login: one that is named, or the usual ones, and those of an ssh-agent."""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path

import paramiko
from pydantic import SecretStr

from batchd_infra.ssh_errors import KeyUnusable

USUAL_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_rsa")
AGENT_ANSWER_SECONDS = 10.0


def read_key(path: Path, passphrase: SecretStr | None) -> paramiko.PKey:
    """Raises KeyUnusable with a sentence; what the passphrase is never shows."""
    file = path.expanduser()
    secret = None if passphrase is None else passphrase.get_secret_value().encode()
    try:
        return paramiko.PKey.from_path(file, password=secret)  # type: ignore[arg-type]  # bytes, whatever it says
    except FileNotFoundError as error:
        raise KeyUnusable(f"the private key {path} does not exist") from error
    except OSError as error:
        raise KeyUnusable(f"the private key {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # cryptography's many, none of them fit for a person
        raise KeyUnusable(_why(path, error, given=passphrase is not None)) from None


def _why(path: Path, error: Exception, *, given: bool) -> str:
    encrypted = isinstance(error, paramiko.PasswordRequiredException) or (
        isinstance(error, TypeError) and "assword" in str(error)
    )
    if encrypted and not given:
        return f"the private key {path} is encrypted: its host needs `passphrase`, or the key an ssh-agent"
    if given and isinstance(error, ValueError | TypeError | paramiko.SSHException):
        return f"the private key {path} cannot be opened with the given passphrase"
    return f"the private key {path} is no private key that can be used"


def offered_keys(
    private_key: Path | None, passphrase: SecretStr | None, *, agent: bool
) -> Generator[paramiko.PKey | KeyUnusable, None, None]:
    """In the order of offering. A key that cannot be used is told where it stood, for the last word."""
    if private_key is not None:
        yield _key_or_problem(private_key, passphrase)
    else:
        for name in USUAL_KEYS:
            if _is_there(Path(name).expanduser()):
                yield _key_or_problem(Path(name), passphrase)
    if agent and os.environ.get("SSH_AUTH_SOCK"):
        yield from _agent_keys()


def _key_or_problem(path: Path, passphrase: SecretStr | None) -> paramiko.PKey | KeyUnusable:
    try:
        return read_key(path, passphrase)
    except KeyUnusable as error:
        return error


def _is_there(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(path.stat().st_mode)
    return False


def _agent_keys() -> Iterator[paramiko.PKey | KeyUnusable]:
    try:
        agent = paramiko.Agent()
    except (OSError, paramiko.SSHException) as error:
        yield KeyUnusable(f"the ssh-agent cannot be asked: {error}")
        return
    with closing(agent):
        connection = getattr(agent, "_conn", None)
        if connection is not None:
            connection.settimeout(AGENT_ANSWER_SECONDS)
        yield from agent.get_keys()
