"""Files and folders to another machine and back: written beside, compared, renamed; never half a file."""

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import paramiko

from batchd_infra.folder_copies import (
    PART,
    Opened,
    TarMissing,
    Tree,
    get_folder,
    plainly_opened,
    put_folder,
    sizes_there,
    tree_of,
)
from batchd_infra.remote_paths import by_sh, glob_script, plain, word
from batchd_infra.sftp_pipeline import read_pieces, request_bytes, write_pieces
from batchd_infra.ssh import SshConnection
from batchd_infra.transfer_errors import (
    SILENCE_SECONDS,
    Meter,
    Progress,
    TransferCut,
    TransferFailed,
    about,
)

__all__ = ["FileTransfer", "Progress", "TransferCut", "TransferFailed"]

CHECKSUM_SECONDS = 3600.0


class FileTransfer:
    """All calls block; any thread may make them. Remote paths: absolute, or relative to the login folder.

    `progress(done, total)`, in bytes, is called at most once a second and at the end. With `checksum`,
    SHA-256 is compared too. Raises TransferFailed with the file's name (TransferCut: try again), SshError.
    """

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection

    def put(
        self,
        local: Path,
        remote: str,
        progress: Progress | None = None,
        checksum: bool = False,
        opened: Opened = plainly_opened,
    ) -> None:
        """A file, or a folder with all that is in it. `opened` may refuse to open what is ours."""
        remote = plain(remote)
        with about(str(local)):
            tree = tree_of(local) if local.is_dir() else Tree(sizes={"": local.stat().st_size})
        meter = Meter(tree.total, progress)
        if not local.is_dir():
            with self._sftp() as sftp:
                self._put_file(sftp, local, remote, meter, checksum, opened)
        elif any("\n" in name for name in tree.sizes):  # such names cannot be compared by lines
            self._put_by_sftp(local, remote, tree, meter, checksum, opened)
        else:
            try:
                put_folder(self._connection, local, remote, tree, meter, checksum=checksum, opened=opened)
            except TarMissing:
                self._put_by_sftp(local, remote, tree, meter, checksum, opened)
        meter.end()

    def get(self, remote: str, local: Path, progress: Progress | None = None, checksum: bool = False) -> None:
        """A file, or a folder with all that is in it."""
        remote = plain(remote)
        with self._sftp() as sftp:
            with about(remote):
                seen = sftp.stat(os.fsencode(remote))
            if not stat.S_ISDIR(seen.st_mode or 0):
                meter = Meter(seen.st_size or 0, progress)
                self._get_file(sftp, remote, local, meter, checksum)
                meter.end()
                return
        self._get_folder(remote, local, progress, checksum)

    def glob(self, pattern: str) -> list[str]:
        """The remote paths that match, sorted; a name without wildcards matches itself, where it is there."""
        said = self._shell(glob_script(pattern), pattern)
        return sorted(os.fsdecode(name) for name in said.split(b"\0") if name)

    def is_newer(self, remote: str, than: str) -> bool:
        return bool(self._shell(f"if [ {word(remote)} -nt {word(than)} ]; then echo newer; fi", remote))

    def make_folder(self, remote: str) -> None:
        """For us alone; with its parents."""
        self._shell(f"umask 077; mkdir -p {word(remote)}", remote)

    def remove_tree(self, remote: str) -> None:
        self._shell(f"rm -rf {word(remote)}", remote)

    def _put_by_sftp(
        self, local: Path, remote: str, tree: Tree, meter: Meter, checksum: bool, opened: Opened
    ) -> None:
        """File by file: slower, and the folder grows in its place."""
        with self._sftp() as sftp:
            for name in ("", *sorted(tree.folders)):
                with suppress(OSError):
                    sftp.mkdir(os.fsencode(posixpath.join(remote, name)), 0o700)
            for name in tree.sizes:
                self._put_file(sftp, local / name, posixpath.join(remote, name), meter, checksum, opened)
            for name, target in tree.links.items():
                with about(str(local / name)):
                    sftp.symlink(os.fsencode(target), os.fsencode(posixpath.join(remote, name)))

    def _get_folder(self, remote: str, local: Path, progress: Progress | None, checksum: bool) -> None:
        try:
            with about(remote):
                sizes = sizes_there(self._connection, remote)
        except TransferFailed as error:
            if not isinstance(error.__cause__, TarMissing):
                raise
            with self._sftp() as sftp, about(remote):
                meter = Meter(_bytes_there(sftp, remote), progress)
                self._get_by_sftp(sftp, remote, local, meter, checksum)
        else:
            meter = Meter(sum(sizes.values()), progress)
            get_folder(self._connection, remote, local, sizes, meter, checksum=checksum)
        meter.end()

    def _get_by_sftp(
        self, sftp: paramiko.SFTPClient, remote: str, local: Path, meter: Meter, checksum: bool
    ) -> None:
        local.mkdir(exist_ok=True)
        for entry in sorted(sftp.listdir_attr(remote), key=lambda entry: entry.filename):
            path, mode = posixpath.join(remote, entry.filename), entry.st_mode or 0
            if stat.S_ISDIR(mode):
                self._get_by_sftp(sftp, path, local / entry.filename, meter, checksum)
            elif stat.S_ISREG(mode):
                self._get_file(sftp, path, local / entry.filename, meter, checksum)
            else:
                raise TransferFailed(
                    path, "is neither a file nor a folder, and there is no tar on that machine"
                )

    def _put_file(
        self,
        sftp: paramiko.SFTPClient,
        local: Path,
        remote: str,
        meter: Meter,
        checksum: bool,
        opened: Opened,
    ) -> None:
        beside = os.fsencode(remote + PART)
        size = _request_bytes(sftp)
        with about(str(local)), opened(local) as source:
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

    def _get_file(
        self, sftp: paramiko.SFTPClient, remote: str, local: Path, meter: Meter, checksum: bool
    ) -> None:
        beside = local.with_name(local.name + PART)
        digest = hashlib.sha256()
        with about(remote), sftp.open(os.fsencode(remote), "rb") as source:
            begun = source.stat()
            total = begun.st_size or 0
            with beside.open("wb") as target:
                for piece in read_pieces(sftp, source, total, _request_bytes(sftp)):
                    target.write(piece)
                    meter.add(len(piece))
                    if checksum:
                        digest.update(piece)
            arrived, now = beside.stat().st_size, source.stat().st_size
            if arrived != total or now != total:
                raise TransferFailed(remote, f"it changed meanwhile: {total} bytes before, {now} after")
            if checksum:
                self._compare(remote, digest.hexdigest(), remote)
            beside.chmod(stat.S_IMODE(begun.st_mode or 0o600) & 0o777)
            beside.replace(local)

    def _compare(self, remote: str, digest: str, named: str) -> None:
        said = self._shell(f"sha256sum <{word(remote)}", named, timeout_seconds=CHECKSUM_SECONDS)
        theirs = said.split()[0].decode(errors="replace") if said.split() else "none"
        if theirs != digest:
            raise TransferFailed(named, f"the checksums differ: here {digest}, there {theirs}")

    def _shell(self, script: str, named: str, *, timeout_seconds: float = 300) -> bytes:
        """What a script says there, by a POSIX shell whatever the login's is."""
        with about(named):
            finished = self._connection.run(by_sh(script), timeout_seconds=timeout_seconds)
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


def _pieces(source: BinaryIO, size: int, digest: "hashlib._Hash | None") -> Iterator[bytes]:
    while piece := source.read(size):
        if digest is not None:
            digest.update(piece)
        yield piece


def _request_bytes(sftp: paramiko.SFTPClient) -> int:
    channel = sftp.get_channel()
    return request_bytes(channel.get_transport().remote_version if channel else "")


def _bytes_there(sftp: paramiko.SFTPClient, remote: str) -> int:
    return sum(
        _bytes_there(sftp, posixpath.join(remote, entry.filename))
        if stat.S_ISDIR(entry.st_mode or 0)
        else entry.st_size or 0
        for entry in sftp.listdir_attr(remote)
    )
