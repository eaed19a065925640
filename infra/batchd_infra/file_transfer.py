"""Files and folders to another machine and back: written beside, compared, renamed; never half a file."""

import hashlib
import os
import posixpath
import shlex
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import paramiko

from batchd_infra.sftp_pipeline import read_pieces, request_bytes, write_pieces
from batchd_infra.ssh import SshConnection
from batchd_infra.ssh_errors import SshError, TooSlow, Unreachable

Progress = Callable[[int, int], None]
PART = ".part"
PROGRESS_SECONDS = 1.0
SILENCE_SECONDS = 60.0
CHECKSUM_SECONDS = 3600.0


class TransferFailed(SshError):
    """A file that could not be copied, and why; the target is as it was before."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class TransferCut(TransferFailed, Unreachable):
    """The connection was cut meanwhile: the same call may be made again."""


class FileTransfer:
    """All calls block; any thread may make them. Remote paths: absolute, or relative to the login folder.

    `progress(done, total)`, in bytes, is called at most once a second and at the end. With `checksum`,
    SHA-256 is compared too. Raises TransferFailed with the file's name (TransferCut: try again), SshError.
    """

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection

    def put(self, local: Path, remote: str, progress: Progress | None = None, checksum: bool = False) -> None:
        """A file, or a folder with all that is in it."""
        remote = plain(remote)
        with self._sftp() as sftp, _about(str(local)):
            meter = Meter(_local_bytes(local), progress)
            self._put(sftp, local, remote, meter, checksum)
            meter.end()

    def get(self, remote: str, local: Path, progress: Progress | None = None, checksum: bool = False) -> None:
        """A file, or a folder with all that is in it."""
        remote = plain(remote)
        with self._sftp() as sftp, _about(remote):
            meter = Meter(_remote_bytes(sftp, remote), progress)
            self._get(sftp, remote, local, meter, checksum)
            meter.end()

    def glob(self, pattern: str) -> list[str]:
        """The remote paths that match, sorted; a name without wildcards matches itself, where it is there."""
        said = self._shell(_glob_script(plain(pattern)), pattern)
        return sorted(os.fsdecode(name) for name in said.split(b"\0") if name)

    def is_newer(self, remote: str, than: str) -> bool:
        return bool(self._shell(f"if [ {_word(remote)} -nt {_word(than)} ]; then echo newer; fi", remote))

    def make_folder(self, remote: str) -> None:
        """For us alone; with its parents."""
        self._shell(f"umask 077; mkdir -p {_word(remote)}", remote)

    def remove_tree(self, remote: str) -> None:
        self._shell(f"rm -rf {_word(remote)}", remote)

    def _put(
        self, sftp: paramiko.SFTPClient, local: Path, remote: str, meter: "Meter", checksum: bool
    ) -> None:
        if not local.is_dir():
            self._put_file(sftp, local, remote, meter, checksum)
            return
        with suppress(OSError):
            sftp.mkdir(os.fsencode(remote), 0o700)
        for entry in sorted(local.iterdir()):
            _refuse_link(entry)
            self._put(sftp, entry, posixpath.join(remote, entry.name), meter, checksum)

    def _put_file(
        self, sftp: paramiko.SFTPClient, local: Path, remote: str, meter: "Meter", checksum: bool
    ) -> None:
        beside = os.fsencode(remote + PART)
        size = _request_bytes(sftp)
        with _about(str(local)), local.open("rb") as source:
            begun = os.fstat(source.fileno())
            digest = hashlib.sha256()
            with sftp.open(beside, "wb") as target:
                sftp.chmod(beside, 0o600)
                for count in write_pieces(target, _pieces(source, size, digest if checksum else None), size):
                    meter.add(count)
            written = sftp.stat(beside).st_size
            if written != begun.st_size:
                raise TransferFailed(str(local), f"{written} of {begun.st_size} bytes arrived")
            if checksum:
                self._compare(remote + PART, digest.hexdigest(), str(local))
            sftp.chmod(beside, stat.S_IMODE(begun.st_mode) & 0o777)
            sftp.posix_rename(beside, os.fsencode(remote))

    def _get(
        self, sftp: paramiko.SFTPClient, remote: str, local: Path, meter: "Meter", checksum: bool
    ) -> None:
        mode = sftp.stat(os.fsencode(remote)).st_mode or 0
        if not stat.S_ISDIR(mode):
            self._get_file(sftp, remote, local, meter, checksum)
            return
        local.mkdir(exist_ok=True)
        for name in sorted(sftp.listdir(remote)):
            self._get(sftp, posixpath.join(remote, name), local / name, meter, checksum)

    def _get_file(
        self, sftp: paramiko.SFTPClient, remote: str, local: Path, meter: "Meter", checksum: bool
    ) -> None:
        beside = local.with_name(local.name + PART)
        digest = hashlib.sha256()
        with _about(remote), sftp.open(os.fsencode(remote), "rb") as source:
            begun = source.stat()
            total = begun.st_size or 0
            with beside.open("wb") as target:
                for piece in read_pieces(sftp, source, total, _request_bytes(sftp)):
                    target.write(piece)
                    digest.update(piece)
                    meter.add(len(piece))
            arrived, now = beside.stat().st_size, source.stat().st_size
            if arrived != total or now != total:
                raise TransferFailed(remote, f"it changed meanwhile: {total} bytes before, {now} after")
            if checksum:
                self._compare(remote, digest.hexdigest(), remote)
            beside.chmod(stat.S_IMODE(begun.st_mode or 0o600) & 0o777)
            beside.replace(local)

    def _compare(self, remote: str, digest: str, named: str) -> None:
        said = self._shell(f"sha256sum <{_word(remote)}", named, timeout_seconds=CHECKSUM_SECONDS)
        theirs = said.split()[0].decode(errors="replace") if said.split() else "none"
        if theirs != digest:
            raise TransferFailed(named, f"the checksums differ: here {digest}, there {theirs}")

    def _shell(self, script: str, named: str, *, timeout_seconds: float = 300) -> bytes:
        """What a script says there, by a POSIX shell whatever the login's is."""
        with _about(named):
            finished = self._connection.run(
                f"exec /bin/sh -c {shlex.quote(script)}", timeout_seconds=timeout_seconds
            )
        if finished.exit_code != 0:
            raise TransferFailed(named, finished.stderr.decode(errors="replace").strip() or "it failed there")
        return finished.stdout

    @contextmanager
    def _sftp(self) -> Iterator[paramiko.SFTPClient]:
        with self._connection.channel() as channel:
            channel.start_subsystem("sftp")
            channel.raw.settimeout(SILENCE_SECONDS)
            with channel.translated():
                sftp = paramiko.SFTPClient(channel.raw)
            yield sftp


class Meter:
    """Tells how far it has come, not too often."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._told = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None and time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._progress(self._done, self._total)

    def end(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)


def plain(remote: str) -> str:
    """`~` is where a login begins, which neither SFTP nor a quoted word knows."""
    if remote == "~":
        return "."
    return remote[2:].lstrip("/") or "." if remote.startswith("~/") else remote


def _word(remote: str) -> str:
    path = plain(remote)
    return shlex.quote(path if path.startswith("/") else f"./{path}")


@contextmanager
def _about(named: str) -> Iterator[None]:
    """The file's name to every error that has none yet."""
    try:
        yield
    except TransferFailed:
        raise
    except TooSlow as error:
        raise TransferCut(named, str(error)) from error
    except Unreachable as error:
        raise TransferCut(named, str(error)) from error
    except SshError as error:
        raise TransferFailed(named, str(error)) from error
    except TimeoutError as error:
        raise TransferCut(named, f"nothing moved for {SILENCE_SECONDS:g} s") from error
    except (EOFError, paramiko.SSHException) as error:
        raise TransferCut(named, f"the connection was cut ({error or 'it ended'})") from error
    except OSError as error:
        if str(error) in ("Socket is closed", "Socket connection was closed"):
            raise TransferCut(named, "the connection was cut") from error
        raise TransferFailed(named, error.strerror or str(error)) from error


def _pieces(source: BinaryIO, size: int, digest: "hashlib._Hash | None") -> Iterator[bytes]:
    while piece := source.read(size):
        if digest is not None:
            digest.update(piece)
        yield piece


def _request_bytes(sftp: paramiko.SFTPClient) -> int:
    channel = sftp.get_channel()
    return request_bytes(channel.get_transport().remote_version if channel else "")


def _refuse_link(entry: Path) -> None:
    if entry.is_symlink():
        raise TransferFailed(str(entry), "is a link, and links in folders are not followed")


def _local_bytes(local: Path) -> int:
    if not local.is_dir():
        return local.stat().st_size
    return sum(path.stat().st_size for path in local.rglob("*") if path.is_file() and not path.is_symlink())


def _remote_bytes(sftp: paramiko.SFTPClient, remote: str) -> int:
    seen = sftp.stat(os.fsencode(remote))
    if not stat.S_ISDIR(seen.st_mode or 0):
        return seen.st_size or 0
    return sum(_remote_bytes(sftp, posixpath.join(remote, name)) for name in sftp.listdir(remote))


def _glob_script(pattern: str) -> str:
    quoted = "".join(char if char in "*?[]!-^" else shlex.quote(char) for char in pattern)
    one = _word(pattern) if not pattern.startswith("/") else shlex.quote(pattern)
    relative = quoted if pattern.startswith("/") else f"./{quoted}"
    shown = 'printf "%s\\0" "$f"' if pattern.startswith("/") else 'printf "%s\\0" "${f#./}"'
    return (
        f'f={one}; if [ -e "$f" ] || [ -L "$f" ]; then {shown}; exit; fi; '
        f'for f in {relative}; do if [ -e "$f" ] || [ -L "$f" ]; then {shown}; fi; done'
    )
