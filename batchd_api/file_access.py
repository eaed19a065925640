"""Which files jobs may use: `dispatcher.file_roots`, and never what is the installation's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from batchd_api.settings import database_url
from batchd_api.settings_records import Settings
from batchd_infra.config_files import SYSTEM_FOLDER, config_folders, explicit_config, user_config_folder
from batchd_infra.file_roots import FileRoots
from batchd_infra.hosts import Host

CONFIG_FILES = ("batchd.yaml", "client.yaml", "hosts", "jobtypes", "controllers")
KEY_FOLDER = ".ssh"
SQLITE = "sqlite:///"
DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")


def file_roots(
    settings: Settings, hosts: Iterable[Host], config: Path | None, environ: Mapping[str, str]
) -> FileRoots:
    return FileRoots(roots=settings.dispatcher.file_roots, own=tuple(_own(settings, hosts, config, environ)))


def _own(
    settings: Settings, hosts: Iterable[Host], config: Path | None, environ: Mapping[str, str]
) -> Iterator[Path]:
    user_folder = user_config_folder(environ)
    yield from (settings.state_directory, settings.prefect.home, user_folder, SYSTEM_FOLDER)
    yield user_folder.parent.parent / KEY_FOLDER
    if (named := explicit_config(config, environ)) is not None:
        yield named.absolute()
    # Beside a batchd.yaml elsewhere other things may lie: only what is read from there is ours.
    for folder in config_folders(config, environ):
        yield from (folder / name for name in CONFIG_FILES)
    for host in hosts:
        yield from (Path(key).expanduser() for key in (host.private_key, host.public_key) if key)
    database = database_url(settings)
    if database.startswith(SQLITE) and (file := database.removeprefix(SQLITE)) != ":memory:":
        yield from (Path(file + suffix).absolute() for suffix in DATABASE_SUFFIXES)
