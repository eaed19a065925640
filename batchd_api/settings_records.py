"""What `batchd.yaml` says, as records. The defaults here are the ones of the file."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from batchd_flows.job_types import TemplateSyntax

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class DaemonMode(enum.StrEnum):
    MANAGER = "Manager"
    DISPATCHER = "Dispatcher"
    BOTH = "Both"


class Driver(enum.StrEnum):
    SQLITE = "Sqlite"
    POSTGRESQL = "PostgreSql"


class LogLevel(enum.StrEnum):
    CONFIG = "config"
    DEBUG = "debug"
    VERBOSE = "verbose"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    FATAL = "fatal"
    DISABLE = "disable"


class JobEnvironment(enum.StrEnum):
    """What a job finds in its environment besides its parameters: ours without secrets, or a few names."""

    INHERIT = "inherit"
    CLEAN = "clean"


class ScrapeAccess(enum.StrEnum):
    """Who may read /metrics: who may log in, or anybody who reaches the port."""

    LOGIN = "login"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """`target`: `syslog`, `stdout`, `stderr` or a path. `filter`: prefix of a source → its level."""

    target: str = "syslog"
    format: str = "{time} [{level}] {source}: {message}"
    level: LogLevel = LogLevel.INFO
    filter: Mapping[str, LogLevel] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class AuthSettings:
    """Both off is `auth: disable`: everyone is a superuser. `static_salt` is for old hashes."""

    basic: bool = True
    header: bool = False
    static_salt: SecretStr | None = None

    @property
    def disabled(self) -> bool:
        return not (self.basic or self.header)


@dataclass(frozen=True, kw_only=True)
class WebClientSettings:
    """`path` None: the built-in page. Origins are without their final slash."""

    path: Path | None = None
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ManagerSettings:
    """`allowed_hosts` None: the machine's own names. `url`: where people open the page, for links to it."""

    host: str = "127.0.0.1"
    port: int = 9681
    url: str | None = None
    auth: AuthSettings = AuthSettings()
    web_client: WebClientSettings = WebClientSettings()
    allowed_hosts: tuple[str, ...] | None = None
    allow_insecure: bool = False
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK


@dataclass(frozen=True, kw_only=True)
class DispatcherSettings:
    """`queues` None: all. `file_roots` None: anywhere but our own configuration, state and key folders.

    `environment_names`: what CLEAN lets through besides the usual few. `output_limit_bytes`: of each stream
    of a job that has no limit of its own, nor its type; 0 is none.
    """

    workers: int = 1
    poll_timeout_seconds: float = 10
    output_limit_bytes: int = 1024**3
    queues: tuple[str, ...] | None = None
    file_roots: tuple[Path, ...] | None = None
    environment: JobEnvironment = JobEnvironment.INHERIT
    environment_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PrefectSettings:
    """`api_url` None: a server of our own on `port`. `user` owns runs started in Prefect's pages.

    `database_url` None: our server keeps a SQLite file in its `home`.
    """

    home: Path
    port: int = 4200
    api_url: str | None = None
    auth_string: SecretStr | None = None
    api_key: SecretStr | None = None
    database_url: SecretStr | None = None
    user: str | None = None
    mirror_ahead: int = 300
    log_limit_bytes: int = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    gc_metrics: bool = True
    http_metrics: bool = True
    store_prefix_only: str | None = None
    prometheus: ScrapeAccess = ScrapeAccess.LOGIN
    dump_timeout_seconds: float = 10


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """How long finished jobs with their output, and stored metrics, are kept."""

    done_jobs_days: float = 2
    metric_records_days: float = 3


@dataclass(frozen=True, kw_only=True)
class NotifySettings:
    """`targets`: name → address in the form of Apprise, with its secrets."""

    targets: Mapping[str, SecretStr] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole file. `connection_string` None: a SQLite file in `state_directory`."""

    state_directory: Path
    timezone: ZoneInfo
    prefect: PrefectSettings
    daemon: DaemonMode = DaemonMode.BOTH
    driver: Driver = Driver.SQLITE
    connection_string: SecretStr | None = None
    connection_pool_size: int = 10
    logging: LoggingSettings = LoggingSettings()
    manager: ManagerSettings = ManagerSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    metrics: MetricsSettings = MetricsSettings()
    storage: StorageSettings = StorageSettings()
    notify: NotifySettings = NotifySettings()
    default_template_syntax: TemplateSyntax = TemplateSyntax.SHELL
    default_scripts_directory: Path = Path("scripts")
    variables: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS, repr=False)
