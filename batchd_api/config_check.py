"""`batchd-admin check-config`: every file of the configuration read, and what they say of each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchd_api.settings import load_settings
from batchd_api.settings_records import Settings
from batchd_flows.account import CannotRunAs, usable_account
from batchd_flows.command_lines import TemplateError, check_template, untranslated_references
from batchd_flows.host_startup import host_names, startup_type
from batchd_flows.job_types import JobType, JobTypes, TemplateSyntax, load_job_types
from batchd_infra.config_files import (
    ConfigError,
    ConfigWarning,
    Fields,
    Problem,
    config_folders,
    read_config,
    record_files,
)
from batchd_infra.controllers import Controllers, check_hosts, load_controllers
from batchd_infra.host_ledger import HostEntry
from batchd_infra.hosts import Host, Hosts, load_hosts

CLIENT_FILE = "client.yaml"
_KINDS = (("jobtypes", ".yaml"), ("jobtypes", ".py"), ("hosts", ".yaml"), ("controllers", ".yaml"))
_CLIENT_TEXTS = (
    "manager_url", "queue", "type", "host", "certificate", "key", "ca_certificate", "username", "password",
)  # fmt: skip
_NAMED_FILES = (("hosts", ("private_key",)), ("controllers", ("token_file", "credentials.path")))
_CLIENT_SWITCHES = ("disable_auth", "disable_server_certificate_check")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was read, and what is wrong with it. `settings` None: `source`, batchd.yaml, cannot be used."""

    files: tuple[Path, ...]
    problems: tuple[Problem, ...]
    settings: Settings | None
    source: Path | None
    job_types: JobTypes
    hosts: Hosts
    controllers: Controllers

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        return tuple(problem for problem in self.problems if isinstance(problem, ConfigError))


def check_config(config: Path | None, environ: Mapping[str, str]) -> Checked:
    """Read everything; one bad file hides no other."""
    folders = config_folders(config, environ)
    settings, source, problems = _settings(config, environ)
    job_types, type_problems = load_job_types(folders)
    hosts, host_problems = load_hosts(folders)
    controllers, controller_problems = load_controllers(folders)
    client_files = [folder / CLIENT_FILE for folder in folders if (folder / CLIENT_FILE).is_file()][:1]
    problems += [*type_problems, *host_problems, *controller_problems]
    problems += [problem for path in client_files for problem in _client_problems(path)]
    problems += _template_problems(job_types, hosts, settings)
    problems += _missing_hosts(job_types, hosts)
    problems += _unusable_users(job_types)
    problems += check_hosts(hosts, controllers)
    problems += _missing_files(folders)
    problems += _startup_problems(hosts, settings)
    files = [path for kind, suffix in _KINDS for path in record_files(folders, kind, suffix)[0]]
    return Checked(
        files=tuple(path for path in (source, *files, *client_files) if path is not None),
        problems=tuple(sorted(problems, key=lambda problem: (str(problem.path), problem.line))),
        settings=settings,
        source=source,
        job_types=job_types,
        hosts=hosts,
        controllers=controllers,
    )


def _settings(
    config: Path | None, environ: Mapping[str, str]
) -> tuple[Settings | None, Path | None, list[Problem]]:
    try:
        loaded = load_settings(config, environ)
    except ConfigError as error:
        return None, error.path, [error]
    return loaded.settings, loaded.source, [*loaded.problems]


def _client_problems(path: Path) -> list[Problem]:
    try:
        fields = read_config(path)
        for key in _CLIENT_TEXTS:
            fields.text(key)
        for key in _CLIENT_SWITCHES:
            fields.boolean(key)
        fields.finish()
    except ConfigError as error:
        return [error]
    return [*fields.warnings]


def _template_problems(
    job_types: JobTypes, hosts: Iterable[Host], settings: Settings | None
) -> Iterator[Problem]:
    syntax = settings.default_template_syntax if settings else TemplateSyntax.SHELL
    ours = settings.variables if settings else ()
    variables = {*ours, *(name for host in hosts for name in host.variables)}
    for job_type in job_types:
        if not _is_yaml(job_type):
            continue
        place = _Place.of(job_type)
        try:
            check_template(job_type, syntax, variables=variables)
        except TemplateError as error:
            where = f"line {error.line} of it: " if error.line else ""
            yield place.error("template", where + error.sentence)
            continue
        for name, line in untranslated_references(job_type, syntax):
            yield place.warning(
                "template",
                f"line {line} of the script: {name} stays text, because only shells get values as variables; "
                f"read ${name} from the environment there, or set substitution: text",
            )


def _startup_problems(hosts: Iterable[Host], settings: Settings | None) -> Iterator[Problem]:
    """Commands that could never run: they would fail every job of their host."""
    syntax = settings.default_template_syntax if settings else TemplateSyntax.SHELL
    ours = settings.variables if settings else ()
    for host in hosts:
        names = {*host_names(host, HostEntry(name=host.name)), *ours}
        for key in ("startup_commands_on_dispatcher", "startup_commands_on_host"):
            for number, command in enumerate(getattr(host, key), start=1):
                try:
                    check_template(startup_type(host, command), syntax, variables=names)
                except TemplateError as error:
                    yield read_config(host.source or Path()).error(key, f"command {number}: {error.sentence}")


def _missing_hosts(job_types: JobTypes, hosts: Hosts) -> Iterator[Problem]:
    for job_type in job_types:
        name = job_type.host_name
        if _is_yaml(job_type) and name is not None and name not in hosts:
            message = f"no file in hosts/ defines {name!r}: its jobs would be refused"
            yield _Place.of(job_type).error("host_name", message)


def _unusable_users(job_types: JobTypes) -> Iterator[Problem]:
    """A warning: the daemon may run as another than whoever looks."""
    for job_type in job_types:
        if job_type.run_as is not None and job_type.source is not None:
            try:
                usable_account(job_type.run_as)
            except CannotRunAs as error:
                line = _Place.of(job_type).fields.line_of("run_as") if _is_yaml(job_type) else 1
                sentence = str(error).removeprefix("run_as: ")
                yield ConfigWarning(job_type.source, line, "run_as", sentence)


def _missing_files(folders: Iterable[Path]) -> Iterator[Problem]:
    """Warnings: the daemon may run as another than whoever looks, or on another machine."""
    for kind, keys in _NAMED_FILES:
        for path in record_files(folders, kind)[0]:
            with suppress(ConfigError):  # its reader has told of that
                fields = read_config(path)
                for key in keys:
                    _warn_if_missing(fields, key)
                yield from fields.warnings


def _warn_if_missing(fields: Fields, key: str) -> None:
    section, _, last = key.rpartition(".")
    if section and not fields.is_mapping(section):
        return
    place = fields.section(section) if section else fields
    named = place.text(last)
    if named:
        try:
            readable = os.access(Path(named).expanduser().resolve(strict=True), os.R_OK)
        except (OSError, RuntimeError):
            place.warn(last, f"there is no file {named}")
        else:
            if not readable:
                place.warn(last, f"{named} cannot be read by whoever looks now; the daemon must be able to")


def _is_yaml(job_type: JobType) -> bool:
    """Not the built-in one, nor one written in Python, whose reader has said all there is to say."""
    return job_type.source is not None and job_type.source.suffix == ".yaml"


@dataclass(frozen=True)
class _Place:
    """A file whose lines are known by their keys."""

    fields: Fields

    @classmethod
    def of(cls, job_type: JobType) -> _Place:
        return cls(read_config(job_type.source or Path()))

    def error(self, key: str, message: str) -> ConfigError:
        return self.fields.error(key, message)

    def warning(self, key: str, message: str) -> ConfigWarning:
        return ConfigWarning(self.fields.path, self.fields.line_of(key), key, message)
