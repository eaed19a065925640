"""What can go wrong with a copy, always with the name of the file; and how far it has come."""

import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko

from batchd_infra.ssh_errors import SshError, Unreachable

Progress = Callable[[int, int], None]
PROGRESS_SECONDS = 1.0
SILENCE_SECONDS = 60.0
_CUT = ("Socket is closed", "Socket connection was closed")


class TransferFailed(SshError):
    """A file that could not be copied, and why; the target is as it was before."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class TransferCut(TransferFailed, Unreachable):
    """The connection was cut meanwhile: the same call may be made again."""


@contextmanager
def about(named: str) -> Iterator[None]:
    """The file's name to every error that has none yet."""
    try:
        yield
    except TransferFailed:
        raise
    except Unreachable as error:
        raise TransferCut(named, str(error)) from error
    except SshError as error:
        raise TransferFailed(named, str(error)) from error
    except TimeoutError as error:
        raise TransferCut(named, f"nothing moved for {SILENCE_SECONDS:g} s") from error
    except (EOFError, paramiko.SSHException) as error:
        raise TransferCut(named, f"the connection was cut ({error or 'it ended'})") from error
    except tarfile.TarError as error:
        raise TransferFailed(named, f"the stream of files is broken ({error})") from error
    except OSError as error:
        if str(error) in _CUT:
            raise TransferCut(named, "the connection was cut") from error
        raise TransferFailed(named, error.strerror or str(error) or "it failed there") from error


class Meter:
    """Tells how far a copy has come, not too often."""

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
