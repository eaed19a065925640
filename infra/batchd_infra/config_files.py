"""Configuration files: where they are looked for, and how one is read.

A folder named first wins: a file in it hides the file of the same name in a later folder, even when it is
bad, so that a mistake never brings back a setting that someone has replaced.
"""

import errno
import os
import pwd
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from batchd_infra.catalogue import Record
from batchd_infra.config_fields import Fields, given_or, time_text
from batchd_infra.config_nodes import MAX_BYTES, ConfigError, ConfigWarning, parse

__all__ = [
    "NEW_NAME",
    "ConfigError",
    "ConfigWarning",
    "Fields",
    "Loaded",
    "Problem",
    "config_folders",
    "explicit_config",
    "given_or",
    "load_records",
    "no_config",
    "read_config",
    "record_files",
    "record_name",
    "time_text",
    "user_config_folder",
]

Problem = ConfigError | ConfigWarning
SYSTEM_FOLDER = Path("/etc/batchd")
NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def explicit_config(config_path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The `batchd.yaml` that `--config` or else `BATCHD_CONFIG` names."""
    if config_path is not None:
        return config_path
    named = environ.get("BATCHD_CONFIG")
    return Path(named) if named else None


def user_config_folder(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    return Path(home) / ".config" / "batchd"


def config_folders(config_path: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders in which files are looked for, the one that wins first."""
    explicit = explicit_config(config_path, environ)
    beside = [] if explicit is None else [explicit.absolute().parent]
    return tuple(dict.fromkeys([*beside, user_config_folder(environ), SYSTEM_FOLDER]))


def read_config(path: Path) -> Fields:
    """The top level of one file; unknown keys are found by its `finish()`. ConfigError."""
    return Fields(path, parse(path, _read_bytes(path)), [])


def no_config(path: Path) -> Fields:
    """What a file without any key would give."""
    return Fields(path, parse(path, b""), [])


def _read_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(path, 1, "", "is not a regular file")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (
            "there is no such file" if error.errno == errno.ENOENT else f"cannot be read: {error.strerror}"
        )
        raise ConfigError(path, 1, "", reason) from error


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO in the folder must not stop the start."""
    return os.open(path, flags | os.O_NONBLOCK)


@dataclass(frozen=True)
class Loaded(Generic[Record]):
    """What the files of one kind gave. `aliases`: file names that differ from the name inside."""

    records: tuple[Record, ...]
    aliases: Mapping[str, str]
    problems: tuple[Problem, ...]


def record_files(
    folders: Iterable[Path], kind: str, suffix: str = ".yaml"
) -> tuple[list[Path], list[Problem]]:
    """The files `FOLDER/KIND/*SUFFIX` that count, sorted by name."""
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for folder in folders:
        try:
            files = [
                f for f in (folder / kind).iterdir() if f.suffix == suffix and not f.name.startswith(".")
            ]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problems.append(ConfigError(folder / kind, 1, "", f"cannot be read: {error.strerror}"))
            continue
        for file in files:
            found.setdefault(file.name, file)
    return [found[name] for name in sorted(found)], problems


def load_records(folders: Iterable[Path], kind: str, read: Callable[[Fields], Record]) -> Loaded[Record]:
    """Every record of a kind; a bad file is a problem and the others still load.

    `read` makes a record of one file, whose name is `record_name(fields)`.
    """
    files, problems = record_files(folders, kind)
    records: dict[str, Record] = {}
    sources: dict[str, Path] = {}
    aliases: dict[str, str] = {}
    for path in files:
        try:
            fields = read_config(path)
            record = read(fields)
            fields.finish()
        except ConfigError as error:
            problems.append(error)
            continue
        problems += fields.warnings
        if record.name in records:
            message = f"{record.name!r} is defined by {sources[record.name]} already; this file has no effect"
            problems.append(ConfigWarning(path, fields.line_of("name"), "name", message))
            continue
        records[record.name], sources[record.name] = record, path
        if path.stem != record.name:
            aliases[path.stem] = record.name
    return Loaded(tuple(records.values()), aliases, tuple(problems))


def record_name(fields: Fields) -> str:
    """The `name` key, which counts, else the file's name; a difference and an odd name are warnings."""
    name = fields.text("name")
    stem = fields.path.stem
    if not name:
        if name is not None:
            raise fields.error("name", "is empty")
        fields.warn("name", f"is missing, so the file's name {stem!r} counts")
        return stem
    if not name.isprintable():
        raise fields.error("name", "contains characters that cannot be printed")
    if name != stem:
        fields.warn("name", f"{name!r} counts, and the file's name {stem!r} finds it too")
    elif not NEW_NAME.fullmatch(name):
        fields.warn(
            "name", "works, but new names begin with a letter or digit and hold only A-Z a-z 0-9 . _ -"
        )
    return name
