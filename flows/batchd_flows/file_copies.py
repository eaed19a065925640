"""A job's files to its host and back, with words for the job's output; everything here blocks.

Local files are opened only where `file_roots` allow it, and judged by what was really opened: a link that is
swapped meanwhile gains nothing.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batchd_flows.errors import FlowsError
from batchd_flows.job_files import FileCopy, JobFiles
from batchd_infra.file_roots import FileForbidden, FileRoots
from batchd_infra.file_transfer import FileTransfer, TransferFailed
from batchd_infra.ssh_errors import SshError, Unreachable

SAY_SECONDS = 10.0  # between two lines about one file
RETRY_SECONDS = (1.0, 3.0, 10.0, 30.0)
MIB = 1 << 20
OPENED = "/proc/self/fd/"
_COPY_BYTES = 1 << 20


class CopyFailed(FlowsError):
    """A file could not be copied; the sentence names it."""


class CopyCut(CopyFailed):
    """The connection was cut meanwhile: it may be tried again."""


class CopyStopped(FlowsError):
    """Somebody has cancelled the job meanwhile."""


@dataclass(frozen=True, kw_only=True)
class FileCopies:
    """For one job on one host. `staging` is a folder of ours for what arrives, removed afterwards.

    `say` gets lines for the job's output, in the calling thread. `stop` ends it between two pieces.
    """

    transfer: FileTransfer
    host_name: str
    roots: FileRoots
    staging: Path
    say: Callable[[str], None]
    checksum: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    retry_seconds: tuple[float, ...] = RETRY_SECONDS

    def send(self, files: JobFiles) -> None:
        """Make the folders, and bring the inputs there. Raises CopyFailed, CopyStopped."""
        self._patiently(lambda: self._make_folders(files))
        for copy in files.inputs:
            self._patiently(lambda copy=copy: self._send(copy))  # type: ignore[misc]

    def fetch(self, files: JobFiles) -> None:
        """Bring the outputs here. Raises CopyFailed, CopyStopped."""
        for copy in files.outputs:
            self._patiently(lambda copy=copy: self._fetch(copy))  # type: ignore[misc]

    def clean(self, folders: tuple[str, ...]) -> None:
        """Remove the job's own folders there. Raises SshError."""
        for folder in folders:
            self.transfer.remove_tree(folder)

    def _make_folders(self, files: JobFiles) -> None:
        for folder in files.folders:
            with _sentences(f"the folder {folder} on {self.host_name}"):
                self.transfer.make_folder(folder)

    # There

    def _send(self, copy: FileCopy) -> None:
        with _sentences(str(copy.local)):
            real = self.roots.require(copy.local)
            watch = _Watch(self, f"{copy.local} to {self.host_name}")
            if real.is_dir():
                self.transfer.put(real, copy.remote, watch.progress, self.checksum, self.roots.opened)
            else:
                with self.roots.opened(copy.local) as file:
                    opened = Path(f"{OPENED}{file.fileno()}")
                    self.transfer.put(opened, copy.remote, watch.progress, self.checksum)
            watch.end()

    # And back

    def _fetch(self, copy: FileCopy) -> None:
        with _sentences(copy.remote):
            found = self._found(copy)
            if not found:
                raise CopyFailed(f"{copy.remote} is not there: the command has not written it")
            for remote in found:
                local = copy.local.parent / posixpath.basename(remote) if copy.is_pattern else copy.local
                self._fetch_one(remote, local)

    def _found(self, copy: FileCopy) -> list[str]:
        found = self.transfer.glob(copy.remote)
        if found or copy.elsewhere is None:
            return found
        return [path for path in self.transfer.glob(copy.elsewhere) if self._is_new(path, copy.remote)]

    def _is_new(self, path: str, remote: str) -> bool:
        """Newer than the job's own folder, that is: than its begin."""
        return self.transfer.is_newer(path, posixpath.dirname(remote))

    def _fetch_one(self, remote: str, local: Path) -> None:
        self.roots.require(local)
        self.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.staging) as folder:
            arrived = Path(folder, "arrived")
            watch = _Watch(self, f"{posixpath.basename(remote)} from {self.host_name}")
            self.transfer.get(remote, arrived, watch.progress, self.checksum)
            self._place(arrived, local)
            watch.end()

    def _place(self, arrived: Path, local: Path) -> None:
        if arrived.is_dir():
            self.roots.make_folder(local)
            for entry in sorted(arrived.iterdir()):
                self._place(entry, local / entry.name)
            return
        with arrived.open("rb") as source, self.roots.replacing(local) as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
            os.fchmod(target.fileno(), arrived.stat().st_mode & 0o777)

    def _patiently(self, step: Callable[[], None]) -> None:
        for pause in (*self.retry_seconds, None):
            if self.stop.is_set():
                raise CopyStopped("the job was cancelled while its files were copied")
            try:
                step()
            except CopyCut as error:
                if pause is None:
                    raise CopyFailed(str(error)) from error
                self.say(f"batchd: {error}; tried again in {pause:g} s")
                self.stop.wait(pause)
            else:
                return


class _Watch:
    """Tells in the job's output how far a file is."""

    def __init__(self, copies: FileCopies, what: str) -> None:
        self._copies = copies
        self._what = what
        self._began = self._said = time.monotonic()
        self._bytes = 0

    def progress(self, done: int, total: int) -> None:
        self._bytes = total
        if self._copies.stop.is_set():
            raise CopyStopped("the job was cancelled while its files were copied")
        if done < total and time.monotonic() - self._said >= SAY_SECONDS:
            self._said = time.monotonic()
            self._copies.say(f"batchd: {self._what}: {done / MIB:.1f} of {total / MIB:.1f} MiB")

    def end(self) -> None:
        seconds = time.monotonic() - self._began
        self._copies.say(f"batchd: copied {self._what}: {_size(self._bytes)} in {seconds:.1f} s")


def _size(count: int) -> str:
    return f"{count} bytes" if count < MIB else f"{count / MIB:.1f} MiB"


@contextmanager
def _sentences(named: str) -> Iterator[None]:
    """Everything that can go wrong as a sentence about the file."""
    try:
        yield
    except (CopyFailed, CopyStopped):
        raise
    except Unreachable as error:
        raise CopyCut(f"{named}: {getattr(error, 'why', error)}") from error
    except TransferFailed as error:
        path = named if error.path.startswith(OPENED) else error.path
        raise CopyFailed(f"{path}: {error.why}") from error
    except SshError as error:
        raise CopyFailed(f"{named}: {error}") from error
    except FileForbidden as error:
        raise CopyFailed(str(error)) from error
    except OSError as error:
        raise CopyFailed(f"{named}: {error.strerror or error}") from error
