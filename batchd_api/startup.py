"""What both the command `batchd` and the process it becomes must agree on before anything starts."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from batchd_api.errors import StartupError
from batchd_api.settings import LoadedSettings, load_settings
from batchd_api.settings_records import DaemonMode, Settings
from batchd_flows.server_settings import (
    ServerError,
    ServerSettings,
    client_environment,
    load_or_create_auth_string,
)
from batchd_infra.config_files import ConfigError

AUTH_FILE = "prefect-auth"
KNOWN_HOSTS_FILE = "known_hosts"
STOPS = (signal.SIGINT, signal.SIGTERM)


def read_settings(config_path: Path | None, environ: Mapping[str, str]) -> LoadedSettings:
    """The settings, or a StartupError whose sentence names file, line and key."""
    try:
        loaded = load_settings(config_path, environ)
    except ConfigError as error:
        raise StartupError(str(error)) from error
    if loaded.errors:
        raise StartupError(str(loaded.errors[0]))
    return loaded


def prepare_state_directory(settings: Settings) -> None:
    """Make the state folder, for its owner only. Raises StartupError."""
    folder = settings.state_directory
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartupError(f"The state folder {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartupError(f"The state folder {folder} cannot be written: set state_directory, or its owner.")


def mode_of(settings: Settings, word: str | None) -> DaemonMode:
    """What this daemon is: `word` of its command line, else what the configuration says."""
    return DaemonMode(word.capitalize()) if word else settings.daemon


def has_embedded_server(settings: Settings, word: str | None) -> bool:
    """Whether this daemon keeps a Prefect server of its own: that is the manager's."""
    return settings.prefect.api_url is None and mode_of(settings, word) is not DaemonMode.DISPATCHER


def server_settings(settings: Settings) -> ServerSettings:
    """The embedded Prefect server's, with its auth string from the state folder. Raises StartupError."""
    try:
        auth_string = settings.prefect.auth_string or load_or_create_auth_string(
            settings.state_directory / AUTH_FILE
        )
    except ServerError as error:
        raise StartupError(str(error)) from error
    return ServerSettings(
        home=settings.prefect.home,
        port=settings.prefect.port,
        auth_string=auth_string,
        done_jobs_days=settings.storage.done_jobs_days,
        database_url=settings.prefect.database_url,
    )


def prefect_login(settings: Settings) -> tuple[str, SecretStr | None, SecretStr | None]:
    """Address, auth string and API key of the server: an existing one, or our own. Raises StartupError."""
    named = settings.prefect
    if named.api_url is not None:
        return named.api_url, named.auth_string, named.api_key
    own = server_settings(settings)
    return own.api_url, own.auth_string, None


def prefect_environment(settings: Settings) -> dict[str, str]:
    """What a process that uses Prefect's client needs to find. Raises StartupError."""
    environment = client_environment(server_settings(settings))
    api_url, auth_string, api_key = prefect_login(settings)
    environment["PREFECT_API_URL"] = api_url
    if auth_string is None:
        del environment["PREFECT_API_AUTH_STRING"]
    if api_key is not None:
        environment["PREFECT_API_KEY"] = api_key.get_secret_value()
    return environment


def dispatcher_name(state_directory: Path) -> str:
    """This machine and this state folder: the same after a restart, another's never."""
    digest = hashlib.sha256(str(state_directory).encode()).hexdigest()[:6]
    return f"{socket.gethostname()}-{digest}"
