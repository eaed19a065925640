"""What the embedded Prefect server and its clients are told: by environment, never by a user's profile."""

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from pydantic import SecretStr

from batchd_flows.errors import FlowsError

SHORTEST_RETENTION_SECONDS = 3601  # Prefect refuses an hour and less
CANCELLING_MARGIN_SECONDS = 300


class ServerError(FlowsError):
    """The embedded Prefect server cannot be had."""


class AuthStringUnusable(ServerError):
    """The file with the auth string can be read by others, or holds nothing."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} {why}: correct it, or remove it so that a new one is made.")
        self.path = path


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    home: Path
    port: int
    auth_string: SecretStr
    done_jobs_days: float  # how long Prefect keeps finished runs; 0 keeps them for ever
    largest_grace_seconds: float = 0.0
    database_url: SecretStr | None = None  # SQLite in `home` where None
    overrides: Mapping[str, str] = field(default_factory=dict)  # PREFECT_* settings, last word

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.origin}/api"


def server_environment(settings: ServerSettings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of the server: `base` (default: our own) without PREFECT*, and the settings.

    The reasons and the measured figures are in docs/decisions/0001-embedded-prefect-server.md.
    """
    environment = client_environment(settings, base)
    environment |= {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(settings.port),
        "PREFECT_SERVER_API_AUTH_STRING": settings.auth_string.get_secret_value(),
        # A path, so that the pages work under any port, and through a tunnel or a proxy.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # Else the pages are copied into site-packages, which may be read-only.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(settings.home / "ui"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": settings.origin,
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "1000",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "30",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P2D",
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS": str(
            settings.largest_grace_seconds + CANCELLING_MARGIN_SECONDS
        ),
        **_retention(settings),
    }
    if settings.database_url is not None:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = settings.database_url.get_secret_value()
    return environment | dict(settings.overrides)


def client_environment(settings: ServerSettings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that uses Prefect's client; set before the import, which reads it."""
    source = os.environ if base is None else base
    environment = {name: value for name, value in source.items() if not name.startswith("PREFECT")}
    return environment | {
        "PREFECT_HOME": str(settings.home),
        "PREFECT_PROFILES_PATH": str(settings.home / "profiles.toml"),
        "PREFECT_API_URL": settings.api_url,
        "PREFECT_API_AUTH_STRING": settings.auth_string.get_secret_value(),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_PREFETCH_SECONDS": "0",
        # About 6 s with Prefect's doubling pauses: whoever calls has retries of its own.
        "PREFECT_CLIENT_MAX_RETRIES": "2",
    }


def fingerprint(settings: ServerSettings) -> str:
    """What a running server was started with; another one means that it must be started again."""
    told = [f"{name}={value}" for name, value in sorted(server_environment(settings, base={}).items())]
    told += [f"{package}=={metadata.version(package)}" for package in ("prefect", "fastapi")]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def load_or_create_auth_string(path: Path) -> SecretStr:
    """The `user:password` of the embedded server, made at first use in a file of mode 0600."""
    if not path.exists():
        _create_secret(path, f"batchd:{secrets.token_urlsafe(32)}\n")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AuthStringUnusable(path, "may be used by others (its mode should be 0600)")
    text = path.read_text().strip()
    if ":" not in text:
        raise AuthStringUnusable(path, "holds no user:password")
    return SecretStr(text)


def _create_secret(path: Path, text: str) -> None:
    """Whole or not at all, and never over another process's: a linked file appears with its content."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            # FileExistsError would mean that another process was first: its string is the one to use.
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                return
    finally:
        draft.unlink(missing_ok=True)


def _retention(settings: ServerSettings) -> dict[str, str]:
    if not settings.done_jobs_days:
        return {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events"}
    seconds = max(SHORTEST_RETENTION_SECONDS, round(settings.done_jobs_days * 86400))
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(seconds),
    }
