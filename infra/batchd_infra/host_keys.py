"""SSH host keys: asking a machine for its own, and the file of those that a person has said to trust."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from batchd_infra.errors import InfraError
from batchd_infra.known_hosts import spelled
from batchd_infra.ssh_errors import HostKeyChanged

__all__ = ["HostKey", "HostKeyChanged", "KnownHosts", "read_host_key"]

ANSWER_SECONDS = 15.0


class HostKeyUnreachable(InfraError):
    """The machine did not tell its host key."""

    def __init__(self, host_name: str, port: int, why: str) -> None:
        super().__init__(f"{host_name} port {port} does not tell its SSH host key: {why}")


class KnownHostsUnusable(InfraError):
    """The file of trusted keys cannot be read or written."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"The file of trusted host keys {file} cannot be used: {why}")


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """`address` as known_hosts files spell it: with the port in it where that is not 22."""

    address: str
    key: paramiko.PKey

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` shows it."""
        return str(self.key.fingerprint)

    @property
    def kind(self) -> str:
        return self.key.get_name()


def read_host_key(host_name: str, port: int, *, timeout_seconds: float = ANSWER_SECONDS) -> HostKey:
    """Nothing is sent but the greeting of the protocol: no user name, no key, no password."""
    address = spelled(host_name, port)
    try:
        transport = paramiko.Transport((host_name, port))
    except (OSError, paramiko.SSHException) as error:
        raise HostKeyUnreachable(host_name, port, str(error)) from error
    try:
        transport.start_client(timeout=timeout_seconds)
        return HostKey(address=address, key=transport.get_remote_server_key())
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise HostKeyUnreachable(host_name, port, str(error) or "the connection was closed") from error
    finally:
        transport.close()


class KnownHosts:
    """Our own file, in the format of OpenSSH; nobody's ~/.ssh/known_hosts is read or written."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def trusts(self, offered: HostKey) -> bool:
        """False: nothing is known of that address. Raises HostKeyChanged, KnownHostsUnusable."""
        known = self._read().lookup(offered.address)
        if not known:
            return False
        if any(key == offered.key for key in known.values()):
            return True
        trusted = ", ".join(str(key.fingerprint) for key in known.values())
        raise HostKeyChanged(offered.address, self._file, trusted, offered.fingerprint)

    def add(self, offered: HostKey) -> None:
        """Raises HostKeyChanged, KnownHostsUnusable."""
        with self._alone():
            if not self.trusts(offered):
                keys = self._read()
                keys.add(offered.address, offered.kind, offered.key)
                self._write(keys)

    def forget(self, host_name: str, port: int) -> None:
        """For a machine that is no more: the next of that name has another key, and that is no alarm."""
        address = spelled(host_name, port)
        with self._alone():
            keys = self._read()
            if keys.lookup(address):
                del keys[address]
                self._write(keys)

    def forget_address(self, address: str) -> None:
        """As `forget`, where nobody knows any more on which port the machine listened."""
        with self._alone():
            keys = self._read()
            gone = [name for name in keys if name == address or name.startswith(f"[{address}]:")]
            for name in gone:
                del keys[name]
            if gone:
                self._write(keys)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two writers at once would lose what one of them wrote."""
        try:
            with self._file.with_name(f".{self._file.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise KnownHostsUnusable(self._file, str(error)) from error

    def _write(self, keys: paramiko.HostKeys) -> None:
        """Beside and renamed, so that a crash leaves the old file whole."""
        try:
            number, beside = tempfile.mkstemp(dir=self._file.parent, prefix=".known_hosts-")
            os.close(number)
            keys.save(beside)
            Path(beside).replace(self._file)
        except OSError as error:
            raise KnownHostsUnusable(self._file, str(error)) from error

    def _read(self) -> paramiko.HostKeys:
        try:
            return paramiko.HostKeys(str(self._file)) if self._file.exists() else paramiko.HostKeys()
        except (OSError, UnicodeDecodeError, paramiko.SSHException) as error:
            raise KnownHostsUnusable(self._file, str(error)) from error
