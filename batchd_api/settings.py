"""`batchd.yaml`: found, read and checked; no file at all means the defaults."""

import ipaddress
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from pydantic import SecretStr

from batchd_api.connection_strings import postgres_url, sqlite_url
from batchd_api.settings_records import (
    AuthSettings,
    DaemonMode,
    DispatcherSettings,
    Driver,
    JobEnvironment,
    LoggingSettings,
    LogLevel,
    ManagerSettings,
    MetricsSettings,
    NotifySettings,
    PrefectSettings,
    ScrapeAccess,
    Settings,
    StorageSettings,
    WebClientSettings,
)
from batchd_flows.job_types import TemplateSyntax
from batchd_infra.config_files import (
    ConfigError,
    Fields,
    Problem,
    config_folders,
    explicit_config,
    given_or,
    no_config,
    read_config,
)

__all__ = [
    "AuthSettings",
    "DaemonMode",
    "DispatcherSettings",
    "Driver",
    "JobEnvironment",
    "LoadedSettings",
    "LogLevel",
    "LoggingSettings",
    "ManagerSettings",
    "MetricsSettings",
    "PrefectSettings",
    "Settings",
    "StorageSettings",
    "WebClientSettings",
    "database_url",
    "insecure_bind",
    "known_keys",
    "load_settings",
]

FILE_NAME = "batchd.yaml"
DATABASE_FILE = "batchd.db"
_DAY_SECONDS = 86_400
_OLD_PLACES = {
    "log_level": "logging.level",
    "auth": "manager.auth",
    "web_client_path": "manager.web_client.path",
    "allowed_origin": "manager.web_client.allowed_origin",
}


@dataclass(frozen=True, kw_only=True)
class LoadedSettings:
    """`source` None: there is no file. An error among the problems means: the manager must not start."""

    settings: Settings
    problems: tuple[Problem, ...]
    source: Path | None

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        return tuple(p for p in self.problems if isinstance(p, ConfigError))


def load_settings(config_path: Path | None, environ: Mapping[str, str]) -> LoadedSettings:
    """The settings of the first `batchd.yaml` found, or the defaults. ConfigError for a file that is bad."""
    source = _find(config_path, environ)
    top = no_config(Path(FILE_NAME)) if source is None else read_config(source)
    settings = _read_settings(top, environ)
    top.finish()
    problems: list[Problem] = [*top.warnings]
    if sentence := insecure_bind(settings):
        problems.append(top.section("manager").error("host", sentence))
    return LoadedSettings(settings=settings, problems=tuple(problems), source=source)


def _find(config_path: Path | None, environ: Mapping[str, str]) -> Path | None:
    explicit = explicit_config(config_path, environ)
    if explicit is not None:
        return explicit.absolute()
    candidates = (folder / FILE_NAME for folder in config_folders(None, environ))
    return next((path for path in candidates if os.path.lexists(path)), None)


def known_keys() -> tuple[str, ...]:
    """Every key of the file with its full place, the old flat ones left out; for documentation and tests."""
    top = no_config(Path(FILE_NAME))
    _read_settings(top, {"HOME": "/"})
    return tuple(key for key in top.asked() if key not in _OLD_PLACES)


def insecure_bind(settings: Settings) -> str | None:
    """Why the manager must not listen where it is told to, or None."""
    manager = settings.manager
    if manager.allow_insecure or _is_loopback(manager.host):
        return None
    if manager.auth.disabled:
        how = "authentication disabled, anyone who reaches it would be a superuser"
    elif manager.auth.header:
        how = "header authentication, it relies on a proxy that nobody can go around"
    else:
        return None
    return f"with {how}: listen on 127.0.0.1, or set manager.allow_insecure: true to accept the risk"


def _is_loopback(host: str) -> bool:
    if host.lower() in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def database_url(settings: Settings) -> str:
    """The SQLAlchemy URL of our database; its password is in it. ValueError with a sentence."""
    text = settings.connection_string.get_secret_value() if settings.connection_string else None
    if settings.driver is Driver.POSTGRESQL:
        return postgres_url(text or "")
    return sqlite_url(text or str(settings.state_directory / DATABASE_FILE))


# Reading


def _read_settings(top: Fields, environ: Mapping[str, str]) -> Settings:
    connection = top.text("connection_string")
    state = _state_directory(top, environ)
    settings = Settings(
        state_directory=state,
        timezone=_read_timezone(top),
        prefect=_read_prefect(top.section("prefect"), state, environ),
        daemon=given_or(top.choice("daemon", DaemonMode), DaemonMode.BOTH),
        driver=given_or(top.choice("driver", Driver), Driver.SQLITE),
        connection_string=SecretStr(connection) if connection else None,
        connection_pool_size=given_or(top.integer("connection_pool_size", minimum=1, maximum=1000), 10),
        logging=_read_logging(top),
        manager=_read_manager(top, environ),
        dispatcher=_read_dispatcher(top.section("dispatcher"), environ),
        metrics=_read_metrics(top.section("metrics")),
        storage=_read_storage(top.section("storage")),
        notify=_read_notify(top.section("notify")),
        default_template_syntax=given_or(
            top.choice("default_template_syntax", TemplateSyntax), TemplateSyntax.SHELL
        ),
        default_scripts_directory=_path(top, "default_scripts_directory", environ) or Path("scripts"),
        variables=MappingProxyType(top.text_map("variables")),
    )
    try:
        database_url(settings)
    except ValueError as error:
        raise top.error("connection_string", str(error)) from error
    return settings


def _path(fields: Fields, key: str, environ: Mapping[str, str]) -> Path | None:
    text = fields.text(key)
    return _expanded(text, environ) if text else None


def _expanded(text: str, environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    if home and (text == "~" or text.startswith("~/")):
        return Path(home) / text[2:]
    return Path(text)


def _state_directory(top: Fields, environ: Mapping[str, str]) -> Path:
    named = _path(top, "state_directory", environ)
    if named is not None:
        return named.absolute()
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base) / "batchd"
    if os.geteuid() == 0:
        return Path("/var/lib/batchd")
    return _expanded("~", environ).expanduser() / ".local" / "state" / "batchd"


def _read_timezone(top: Fields) -> ZoneInfo:
    name = top.text("timezone")
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise top.error(
                "timezone", f"{name[:40]!r} is no time zone; write one such as Europe/Berlin"
            ) from error
    return _system_timezone(top)


def _system_timezone(top: Fields) -> ZoneInfo:
    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            zone = tzlocal.get_localzone()
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise top.error("timezone", "the system's time zone cannot be read; write one here") from error
    if not isinstance(zone, ZoneInfo) or not zone.key or zone.key == "local":
        top.warn(
            "timezone", "the system's time zone has no name, which schedules in Prefect need; write it here"
        )
    elif doubts:
        top.warn("timezone", f"{zone.key} is taken from the system, with a doubt: {doubts[0].message}")
    return zone


def _read_prefect(section: Fields, state: Path, environ: Mapping[str, str]) -> PrefectSettings:
    auth_string, api_key = section.text("auth_string"), section.text("api_key")
    settings = PrefectSettings(
        home=given_or(_path(section, "home", environ), state / "prefect").absolute(),
        port=given_or(section.integer("port", maximum=65535), 4200),
        api_url=section.text("api_url") or None,
        auth_string=SecretStr(auth_string) if auth_string else None,
        api_key=SecretStr(api_key) if api_key else None,
        database_url=_read_prefect_database(section),
        user=section.text("user") or None,
        mirror_ahead=given_or(section.integer("mirror_ahead", minimum=1), 300),
        log_limit_bytes=given_or(section.size_bytes("log_limit"), 1024 * 1024),
    )
    section.finish()
    if settings.api_url is None and settings.api_key is not None:
        raise section.error("api_key", "is of an existing server: name it in api_url")
    return settings


def _read_prefect_database(section: Fields) -> SecretStr | None:
    """As Prefect's own driver wants it."""
    text = section.text("database_url")
    if not text:
        return None
    try:
        url = postgres_url(text)
    except ValueError as error:
        raise section.error("database_url", str(error)) from error
    return SecretStr(url.replace("postgresql+psycopg://", "postgresql+asyncpg://", 1))


def _read_logging(top: Fields) -> LoggingSettings:
    section, default = top.section("logging"), LoggingSettings()
    where, key = _place(top, section, "level", "log_level")
    levels = section.section("filter")
    settings = LoggingSettings(
        target=section.text("target") or default.target,
        format=section.text("format") or default.format,
        level=given_or(where.choice(key, LogLevel), default.level),
        filter=MappingProxyType(
            {
                prefix: given_or(levels.choice(prefix, LogLevel), default.level)
                for prefix in levels.given_keys()
            }
        ),
    )
    section.finish()
    return settings


def _place(top: Fields, section: Fields, key: str, old_key: str) -> tuple[Fields, str]:
    """Where a setting stands: in its section, or flat at the top as in old files, which gets a warning."""
    if key in section or old_key not in top:
        return section, key
    top.warn(old_key, f"has moved: write it as {_OLD_PLACES[old_key]}")
    return top, old_key


def _read_manager(top: Fields, environ: Mapping[str, str]) -> ManagerSettings:
    section, default = top.section("manager"), ManagerSettings()
    settings = ManagerSettings(
        host=section.text("host") or default.host,
        port=given_or(section.integer("port", maximum=65535), default.port),
        url=section.text("url") or None,
        auth=_read_auth(*_place(top, section, "auth", "auth")),
        web_client=_read_web_client(top, section.section("web_client"), environ),
        allowed_hosts=section.texts("allowed_hosts"),
        allow_insecure=given_or(section.boolean("allow_insecure"), default.allow_insecure),
        trusted_proxies=_read_networks(section, "trusted_proxies", default),
    )
    section.finish()
    return settings


def _read_auth(where: Fields, key: str) -> AuthSettings:
    """`disable`, or a mapping of methods."""
    if key in where and not where.is_mapping(key):
        if (where.text(key) or "").lower() != "disable":
            raise where.error(key, "must be 'disable', or hold basic, header and static_salt")
        return AuthSettings(basic=False)
    section = where.section(key)
    salt = section.text("static_salt")
    auth = AuthSettings(
        basic=given_or(section.boolean("basic"), True),
        header=given_or(section.boolean("header"), False),
        static_salt=SecretStr(salt) if salt else None,
    )
    if auth.disabled:
        raise where.error(key, "leaves no way to log in; write 'auth: disable' if nobody shall have to")
    section.finish()
    return auth


def _read_web_client(top: Fields, section: Fields, environ: Mapping[str, str]) -> WebClientSettings:
    where_path, path_key = _place(top, section, "path", "web_client_path")
    where_origin, origin_key = _place(top, section, "allowed_origin", "allowed_origin")
    origins = where_origin.texts(origin_key) or ()
    if "*" in origins:
        where_origin.warn(
            origin_key, "'*' allows nothing: write each origin, such as https://batch.example.org"
        )
    settings = WebClientSettings(
        path=_path(where_path, path_key, environ),
        allowed_origins=tuple(origin.rstrip("/") for origin in origins),
    )
    section.finish()
    return settings


def _read_networks(
    section: Fields, key: str, default: ManagerSettings
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    texts = section.texts(key)
    if texts is None:
        return default.trusted_proxies
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise section.error(key, f"must hold addresses or networks: {error}") from error


def _read_dispatcher(section: Fields, environ: Mapping[str, str]) -> DispatcherSettings:
    default = DispatcherSettings()
    roots = section.texts("file_roots")
    environment, names = _read_environment(section)
    settings = DispatcherSettings(
        workers=given_or(section.integer("workers", minimum=1, maximum=10_000), default.workers),
        poll_timeout_seconds=given_or(section.seconds("poll_timeout"), default.poll_timeout_seconds),
        output_limit_bytes=given_or(section.size_bytes("output_limit"), default.output_limit_bytes),
        queues=section.texts("queues"),
        file_roots=None if roots is None else tuple(_expanded(r, environ).absolute() for r in roots),
        environment=environment,
        environment_names=names,
    )
    section.finish()
    return settings


def _read_environment(section: Fields) -> tuple[JobEnvironment, tuple[str, ...]]:
    """`inherit`, `clean`, or a list of names: clean, and these too."""
    if section.is_list("environment"):
        return JobEnvironment.CLEAN, section.texts("environment") or ()
    return given_or(section.choice("environment", JobEnvironment), JobEnvironment.INHERIT), ()


def _read_metrics(section: Fields) -> MetricsSettings:
    default = MetricsSettings()
    settings = MetricsSettings(
        gc_metrics=given_or(section.boolean("gc_metrics"), default.gc_metrics),
        http_metrics=given_or(section.boolean("http_metrics"), default.http_metrics),
        store_prefix_only=section.text("store_prefix_only") or None,
        prometheus=given_or(section.choice("prometheus", ScrapeAccess), default.prometheus),
        dump_timeout_seconds=given_or(section.seconds("dump_timeout"), default.dump_timeout_seconds),
    )
    section.finish()
    return settings


def _read_notify(section: Fields) -> NotifySettings:
    targets = {name: SecretStr(url) for name, url in section.text_map("targets").items()}
    if any(":" in name or "," in name for name in targets):
        raise section.error("targets", "has a name with a colon or a comma in it")
    section.finish()
    return NotifySettings(targets=MappingProxyType(targets))


def _read_storage(section: Fields) -> StorageSettings:
    default = StorageSettings()
    settings = StorageSettings(
        done_jobs_days=_days(section, "done_jobs", default.done_jobs_days),
        metric_records_days=_days(section, "metric_records", default.metric_records_days),
    )
    section.finish()
    return settings


def _days(section: Fields, key: str, default: float) -> float:
    seconds = section.seconds(key, unit_seconds=_DAY_SECONDS)
    return default if seconds is None else seconds / _DAY_SECONDS
