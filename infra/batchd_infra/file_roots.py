"""Where the files of jobs may lie: judged by the real place of a path, links followed, never by its text."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batchd_infra.errors import InfraError

MAX_SHOWN = 200


class FileForbidden(InfraError):
    """A job names a path that it may not use; `sentence` says why."""

    def __init__(self, path: Path, why: str) -> None:
        self.sentence = f"{_shown(path)} {why}"
        super().__init__(f"jobs may not use {self.sentence}")


@dataclass(frozen=True, kw_only=True)
class FileRoots:
    """`roots` None: anywhere. `own`: files and folders of the installation itself, which no job may use.

    A root inside of one of those opens what lies under it: somebody has written it down on purpose.
    """

    roots: tuple[Path, ...] | None = None
    own: tuple[Path, ...] = ()

    def require(self, path: Path) -> Path:
        """The real path. Raises FileForbidden. What the links say may change: ask again before each use."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError) as error:
            raise FileForbidden(path, "is no path that can be used") from error
        if (why := self._obstacle(real)) is not None:
            raise FileForbidden(path, why)
        return real

    def require_working_directory(self, path: Path) -> None:
        """As `require`; a folder around our own files is one to stand in. Raises FileForbidden."""
        if not self._is_around_ours(path):
            self.require(path)

    def opened(self, path: Path) -> BinaryIO:
        """An input file, judged by what was really opened: a link that is swapped meanwhile gains nothing.

        Raises FileForbidden, OSError.
        """
        self.require(path)
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  Path.open knows no opener
        try:
            self._require_opened(path, file.fileno())
        except BaseException:
            file.close()
            raise
        return file

    def _require_opened(self, path: Path, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileForbidden(path, "is no regular file")
        if (why := self._obstacle(_place_of(descriptor))) is not None:
            raise FileForbidden(path, why)

    def make_folder(self, path: Path) -> None:
        """One of an output's; its parent is judged by what was really opened. No error if it is there.

        Raises FileForbidden, OSError.
        """
        self.require(path)
        with self._parent(path) as parent, suppress(FileExistsError):
            os.mkdir(path.name, dir_fd=parent)

    @contextmanager
    def replacing(self, path: Path) -> Iterator[BinaryIO]:
        """An output file: written beside and renamed when all went well, so that no link there is followed.

        Raises FileForbidden, OSError.
        """
        self.require(path)
        beside = f".{secrets.token_hex(8)}.part"
        with self._parent(path) as folder:
            number = os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder
            )
            try:
                with os.fdopen(number, "wb") as file:
                    yield file
                os.rename(beside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=folder)
                raise

    @contextmanager
    def _parent(self, path: Path) -> Iterator[int]:
        """The folder that an output is written into, opened."""
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if (why := self._obstacle(_place_of(folder) / path.name)) is not None:
                raise FileForbidden(path, why)
            yield folder
        finally:
            os.close(folder)

    def _is_around_ours(self, path: Path) -> bool:
        return self.roots is None and any(
            Path(os.path.realpath(own)).is_relative_to(Path(os.path.realpath(path)))
            and os.path.realpath(own) != os.path.realpath(path)
            for own in self.own
        )

    def _obstacle(self, real: Path) -> str | None:
        roots = [Path("/")] if self.roots is None else [Path(os.path.realpath(root)) for root in self.roots]
        around = [root for root in roots if real.is_relative_to(root)]
        if not around:
            names = ", ".join(map(_shown, self.roots or ()))
            return f"lies outside of the folders that dispatcher.file_roots names: {names or 'none'}"
        for own in self.own:
            mine = Path(os.path.realpath(own))
            if any(root.is_relative_to(mine) for root in around):
                continue
            if real.is_relative_to(mine):
                return "belongs to batchd itself: its configuration, its state or a key"
            if mine.is_relative_to(real):
                return "is a folder that holds batchd's own configuration, state or keys"
        return None


def _place_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
