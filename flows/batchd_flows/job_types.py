"""Job types: what a queue can run, as `jobtypes/NAME.yaml` defines it."""

import enum
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from batchd_flows.account import UserElsewhere
from batchd_flows.errors import FlowsError
from batchd_flows.notices import Notice, NoticeError, parse_notices
from batchd_flows.parameters import (
    Parameter,
    ParameterError,
    ParameterType,
    integer_problem,
    name_problem,
    text_of,
    total_problem,
)
from batchd_flows.progress import ProgressError, ProgressPattern
from batchd_flows.python_type_files import function_name, python_types
from batchd_infra.catalogue import Catalogue, not_found_sentence
from batchd_infra.config_files import (
    ConfigError,
    ConfigWarning,
    Fields,
    Problem,
    given_or,
    load_records,
    record_files,
    record_name,
)

__all__ = [
    "COMMAND",
    "JobType",
    "JobTypeNotFound",
    "JobTypes",
    "OnFail",
    "Parameter",
    "ParameterError",
    "ParameterType",
    "RetryWhen",
    "Substitution",
    "TemplateSyntax",
    "load_job_types",
    "resolve_params",
]

_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
# The whole first word: a reference and then a blank, an operator or the end.
_SHELL_PROGRAM = re.compile(r"\s*(?:\$([^\W_]+)|\$\{([\w.-]+)\})(?=[\s;&|]|$)")
_PYTHON_PROGRAM = re.compile(r"\s*\{([\w.-]+)\}(?=[\s;&|]|$)")


class TemplateSyntax(enum.StrEnum):
    SHELL = "Shell"
    PYTHON = "Python"


class Substitution(enum.StrEnum):
    """How values reach a command: as shell variables, or pasted into its text."""

    VARIABLES = "variables"
    TEXT = "text"


class RetryWhen(enum.StrEnum):
    NOW = "now"
    LATER = "later"


@dataclass(frozen=True, kw_only=True)
class OnFail:
    """What becomes of a job whose command failed; `when` None means: it stays failed."""

    when: RetryWhen | None = None
    count: int = 0

    def rest_record(self) -> str | dict[str, Any]:
        if self.when is None:
            return "continue"
        return {"retry": {"when": self.when.value, "count": self.count}}


@dataclass(frozen=True, kw_only=True)
class JobType:
    """One job type. `template` holds its lines and is never empty; `syntax` None: the installation's."""

    name: str
    template: tuple[str, ...]
    title: str = ""
    syntax: TemplateSyntax | None = None
    params: tuple[Parameter, ...] = ()
    on_fail: OnFail = OnFail()
    host_name: str | None = None
    max_jobs: int | None = None
    substitution: Substitution | None = None
    working_directory: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: _NO_VARIABLES)
    timeout_seconds: float | None = None
    silence_seconds: float | None = None
    kill_after_seconds: float | None = None
    output_limit_bytes: int | None = None
    run_as: str | None = None
    progress: str | None = None
    notify: tuple[Notice, ...] = ()
    source: Path | None = None

    @property
    def implied_substitution(self) -> Substitution:
        """What counts where the file says nothing: text if the program itself is a parameter.

        Whoever may choose the program has the shell anyway, so old `$command $args` types keep their pipes.
        Only a one-line template whose whole, unquoted first word is a declared parameter counts: in a script
        a line may begin with a reference and still be an argument or part of a here-document.
        """
        if self.substitution is not None:
            return self.substitution
        return Substitution.TEXT if self._program_is_a_parameter() else Substitution.VARIABLES

    def _program_is_a_parameter(self) -> bool:
        if len(self.template) != 1:
            return False
        patterns = {TemplateSyntax.SHELL: [_SHELL_PROGRAM], TemplateSyntax.PYTHON: [_PYTHON_PROGRAM]}
        either = [_SHELL_PROGRAM, _PYTHON_PROGRAM]
        matches = [p.match(self.template[0]) for p in (patterns[self.syntax] if self.syntax else either)]
        chosen = {name for match in matches if match for name in match.groups() if name}
        return any(p.name in chosen and p.type is not ParameterType.INTEGER for p in self.params)

    def parameter(self, name: str) -> Parameter | None:
        return next((p for p in self.params if p.name == name), None)

    def rest_record(self) -> dict[str, Any]:
        """The record of rest.md; a secret's default is never shown."""
        return {
            "name": self.name,
            "title": self.title or self.name,
            "syntax": None if self.syntax is None else self.syntax.value,
            "template": list(self.template),
            "on_fail": self.on_fail.rest_record(),
            "host_name": self.host_name,
            "max_jobs": self.max_jobs,
            "params": [
                {
                    "name": p.name,
                    "type": p.type.value,
                    "title": p.label,
                    "default": "" if p.secret else p.default,
                }
                for p in self.params
            ],
        }

    def parameter_schema(self, variables: Mapping[str, str] = _NO_VARIABLES) -> dict[str, Any]:
        """The OpenAPI schema from which Prefect's deployment page makes its form.

        Secrets have no field there: what is typed into that form stands in Prefect's database.
        An Integer without default is required, unless `variables` (the installation's) hold one.
        """
        shown = [p for p in self.params if not p.secret]
        return {
            "title": "Parameters",
            "type": "object",
            "properties": {p.name: _schema_of(p, position) for position, p in enumerate(shown)},
            "required": [
                p.name
                for p in shown
                if p.type is ParameterType.INTEGER and not p.default and not variables.get(p.name)
            ],
            "definitions": {},
        }


def _schema_of(parameter: Parameter, position: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": parameter.label, "position": position, "type": "string"}
    if parameter.type is ParameterType.INTEGER:
        schema["type"] = "integer"
        if parameter.default:
            schema["default"] = int(parameter.default)
        return schema
    if parameter.type is ParameterType.INPUT_FILE:
        schema["description"] = "Path of a file that the command reads"
    elif parameter.type is ParameterType.OUTPUT_FILE:
        schema["description"] = "Path of a file that the command writes"
    return schema | ({"default": parameter.default} if parameter.default else {})


class JobTypeNotFound(FlowsError):
    """No file defines a job type of this name."""

    def __init__(self, name: str, nearest: str | None = None) -> None:
        self.name = name
        self.nearest = nearest
        super().__init__(not_found_sentence("job type", name, nearest))


class JobTypes(Catalogue[JobType]):
    """The loaded job types; `get` raises JobTypeNotFound."""

    def __init__(self, job_types: Iterable[JobType] = (), aliases: Mapping[str, str] = _NO_VARIABLES) -> None:
        super().__init__(job_types, aliases, JobTypeNotFound)

    def without(self, names: Container[str]) -> "JobTypes":
        """The same, less the types of these names."""
        return JobTypes([job_type for job_type in self if job_type.name not in names], self._aliases)


COMMAND = JobType(
    name="command",
    title="Command",
    template=("$command $args",),
    syntax=TemplateSyntax.SHELL,
    params=(
        Parameter(name="command", title="Command"),
        Parameter(name="args", title="Arguments"),
    ),
)
"""The built-in type, so that a first `batch enqueue echo hello` works; a file of that name replaces it."""


def resolve_params(
    job_type: JobType, given: Mapping[str, object], variables: Mapping[str, str] = _NO_VARIABLES
) -> dict[str, str]:
    """The parameters of a new job: what was given (null = absent), then declared defaults; ParameterError.

    Undeclared ones are kept. A declared one that has neither is left out, so that `variables` (the host's
    and the installation's, looked up when the command is made) can still fill it. Paths are not judged here.
    """
    result: dict[str, str] = {}
    for name, value in given.items():
        if value is not None:
            result[name] = _checked_text(job_type, name, value)
    for parameter in job_type.params:
        _complete(job_type, parameter, result, variables)
    if sentence := total_problem(result):
        raise ParameterError(job_type.name, next(reversed(result)), sentence)
    return result


def _checked_text(job_type: JobType, name: str, value: object) -> str:
    sentence = name_problem(name)
    if sentence:
        raise ParameterError(job_type.name, name, sentence)
    text, sentence = text_of(value, job_type.parameter(name))
    if sentence:
        raise ParameterError(job_type.name, name, sentence)
    return text


def _complete(
    job_type: JobType, parameter: Parameter, result: dict[str, str], variables: Mapping[str, str]
) -> None:
    """Put the default where nothing was given, and check an Integer; an empty one counts as missing."""
    name, is_integer = parameter.name, parameter.type is ParameterType.INTEGER
    if is_integer and result.get(name) == "":
        del result[name]
    if name not in result and parameter.default:
        result[name] = parameter.default
    if not is_integer:
        return
    text = result.get(name) or variables.get(name, "")
    sentence = integer_problem(text) if text else "a whole number is missing, and there is no default"
    if sentence:
        raise ParameterError(job_type.name, name, sentence)


def load_job_types(folders: Iterable[Path]) -> tuple[JobTypes, tuple[Problem, ...]]:
    """The types of `FOLDER/jobtypes/*.yaml` and `*.py`, and the built-in one; a bad file is a problem, the
    others load. A YAML file's name counts before a Python function's.

    Whether a template can be compiled is not looked at here: `command_lines` needs these records first.
    """
    places = tuple(folders)
    loaded = load_records(places, "jobtypes", _read_job_type)
    types = {job_type.name: job_type for job_type in loaded.records}
    problems = [*loaded.problems, *_add_python_types(places, types)]
    types.setdefault(COMMAND.name, COMMAND)
    return JobTypes(types.values(), loaded.aliases), tuple(problems)


def _add_python_types(folders: Iterable[Path], types: dict[str, JobType]) -> Iterator[Problem]:
    files, problems = record_files(folders, "jobtypes", ".py")
    yield from problems
    for path in files:
        try:
            for fields in python_types(path):
                job_type = _read_job_type(fields, function_name(fields))
                fields.finish()
                yield from fields.warnings
                if job_type.name in types:
                    where = types[job_type.name].source
                    message = f"{job_type.name!r} is defined by {where} already; this one has no effect"
                    yield ConfigWarning(path, fields.line_of("name"), "name", message)
                types.setdefault(job_type.name, job_type)
        except ConfigError as error:
            yield error


def _read_job_type(fields: Fields, name: str | None = None) -> JobType:
    return JobType(
        name=name or record_name(fields),
        title=fields.text("title") or "",
        template=_read_template(fields),
        syntax=fields.choice("syntax", TemplateSyntax),
        params=_read_params(fields),
        on_fail=_read_on_fail(fields),
        host_name=fields.text("host_name") or None,
        max_jobs=fields.integer("max_jobs", minimum=1),
        substitution=fields.choice("substitution", Substitution),
        working_directory=fields.text("working_directory"),
        environment=MappingProxyType(fields.text_map("environment")),
        timeout_seconds=fields.seconds("timeout"),
        silence_seconds=fields.seconds("silence"),
        kill_after_seconds=fields.seconds("kill_after"),
        output_limit_bytes=fields.size_bytes("output_limit"),
        run_as=_read_run_as(fields),
        progress=_read_progress(fields),
        notify=_read_notify(fields),
        source=fields.path,
    )


def _read_run_as(fields: Fields) -> str | None:
    run_as, host = fields.text("run_as") or None, fields.text("host_name")
    if run_as and host:
        raise fields.error("run_as", str(UserElsewhere(run_as, host)))
    return run_as


def _read_progress(fields: Fields) -> str | None:
    """A preset's name or an expression; what is written is kept, so that it can be shown."""
    text = fields.text("progress")
    if text is None:
        return None
    try:
        ProgressPattern(text)
    except ProgressError as error:
        raise fields.error("progress", str(error)) from error
    return text


def _read_notify(fields: Fields) -> tuple[Notice, ...]:
    try:
        return parse_notices(fields.texts("notify") or ())
    except NoticeError as error:
        raise fields.error("notify", str(error)) from error


def _read_template(fields: Fields) -> tuple[str, ...]:
    lines = "\n".join(fields.texts("template") or ()).rstrip("\n").split("\n")
    if not any(line.strip() for line in lines):
        raise fields.error("template", "is empty" if "template" in fields else "is missing")
    return tuple(lines)


def _read_params(fields: Fields) -> tuple[Parameter, ...]:
    params: dict[str, Parameter] = {}
    for item in fields.sections("params"):
        parameter = _read_parameter(item)
        if parameter.name in params:
            raise item.error("name", f"the parameter {parameter.name!r} is declared twice")
        params[parameter.name] = parameter
        item.finish()
    return tuple(params.values())


def _read_parameter(item: Fields) -> Parameter:
    name = item.required_text("name")
    if sentence := name_problem(name):
        raise item.error("name", f"{name[:40]!r} cannot be used: {sentence}")
    parameter = Parameter(
        name=name,
        type=given_or(item.choice("type", ParameterType), ParameterType.STRING),
        title=item.text("title") or "",
        default=item.text("default") or "",
        secret=item.boolean("secret") or False,
    )
    is_integer = parameter.type is ParameterType.INTEGER
    if is_integer and parameter.default and (sentence := integer_problem(parameter.default)):
        raise item.error("default", sentence)
    return parameter


def _read_on_fail(fields: Fields) -> OnFail:
    """`continue`, `retry`, or `{retry: {when: now|later, count: n}}` with the defaults now and 1."""
    if fields.is_mapping("on_fail"):
        section = fields.section("on_fail")
        retry = section.section("retry")
        if "retry" not in section.given_keys():  # `in section` would take `retry:` for absent
            raise section.error("retry", "is missing; on_fail is 'continue', 'retry' or a retry mapping")
        when = given_or(retry.choice("when", RetryWhen), RetryWhen.NOW)
        on_fail = OnFail(when=when, count=given_or(retry.integer("count", maximum=1_000_000), 1))
        retry.finish()
        section.finish()
        return on_fail
    word = (fields.text("on_fail") or "continue").lower()
    if word not in ("continue", "retry"):
        raise fields.error(
            "on_fail", "must be 'continue', 'retry' or {retry: {when: now or later, count: n}}"
        )
    return OnFail(when=RetryWhen.NOW, count=1) if word == "retry" else OnFail()
