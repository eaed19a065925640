"""`jobtypes/FILE.py` read as what it says, without running a line of it: the daemon stays itself."""

from __future__ import annotations

import ast
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from batchd_infra.config_files import NEW_NAME, ConfigError, Fields
from batchd_infra.config_nodes import MAX_BYTES, parse

DECORATOR = "job_type"
RUNNER = "batchd_flows.python_type_run"
_TYPES = {"str": "String", "int": "Integer", "InputFile": "InputFile", "OutputFile": "OutputFile"}
_KEYS = (
    "name", "title", "on_fail", "max_jobs", "timeout", "silence", "kill_after", "working_directory",
    "environment", "output_limit", "progress", "notify", "run_as",
)  # fmt: skip


def python_types(path: Path) -> list[Fields]:
    """Each decorated function of the file, as the mapping that a YAML file would be. Raises ConfigError."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(path, 1, "", f"cannot be read: {error.strerror}") from error
    if len(source) > MAX_BYTES:
        raise ConfigError(path, 1, "", f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(path, line, "", f"is no Python: {getattr(error, 'msg', error)}") from error
    return [
        _fields(path, function, decorator)
        for function in tree.body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in function.decorator_list
        if _is_ours(decorator)
    ]


def function_name(fields: Fields) -> str:
    """The type's name; one that no new file could have is an error."""
    name = fields.required_text("name")
    if not NEW_NAME.fullmatch(name):
        raise fields.error(
            "name", f"{name[:40]!r}: begins with a letter or digit and holds only A-Z a-z 0-9 . _ -"
        )
    return name


def _is_ours(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", None)) == DECORATOR


def _fields(path: Path, function: ast.FunctionDef | ast.AsyncFunctionDef, decorator: ast.expr) -> Fields:
    """As YAML text and read back: so that every key is checked as a file's, at the function's line."""
    if isinstance(function, ast.AsyncFunctionDef):
        raise ConfigError(
            path, function.lineno, function.name, "a job type is a plain function, without async"
        )
    record: dict[str, Any] = {"name": function.name}
    record |= dict(_keywords(path, decorator)) if isinstance(decorator, ast.Call) else {}
    if "title" not in record and (doc := ast.get_docstring(function)):
        record["title"] = doc.strip().splitlines()[0].rstrip(".")
    record["params"] = list(_parameters(path, function))
    record["syntax"] = "Shell"
    record["template"] = _command(path, function.name, [param["name"] for param in record["params"]])
    mapping = parse(path, yaml.safe_dump(record, allow_unicode=True).encode())
    return Fields(path, _at_line(mapping, function.lineno), [])


def _at_line(mapping: Any, line: int) -> Any:
    return type(mapping)(mapping.entries, dict.fromkeys(mapping.entries, line), line, mapping.size)


def _keywords(path: Path, decorator: ast.Call) -> Iterator[tuple[str, Any]]:
    if decorator.args:
        raise ConfigError(path, decorator.lineno, DECORATOR, "takes keywords only")
    for keyword in decorator.keywords:
        if keyword.arg not in _KEYS:
            known = ", ".join(_KEYS)
            raise ConfigError(
                path, keyword.value.lineno, str(keyword.arg), f"is no key here; there are: {known}"
            )
        yield keyword.arg, _literal(path, keyword.arg, keyword.value)


def _literal(path: Path, key: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        message = "must be written out: the file is read, not run"
        raise ConfigError(path, node.lineno, key, message) from error


def _parameters(path: Path, function: ast.FunctionDef) -> Iterator[dict[str, Any]]:
    args = function.args
    if args.vararg or args.kwarg or args.posonlyargs:
        raise ConfigError(path, function.lineno, function.name, "takes named parameters only, no * and /")
    defaults = [None] * (len(args.args) - len(args.defaults)) + list(args.defaults)
    pairs = [*zip(args.args, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    for argument, default in pairs:
        kind = _type_name(path, argument)
        value = None if default is None else _literal(path, argument.arg, default)
        yield {
            "name": argument.arg,
            "type": kind,
            **({} if value in (None, "") else {"default": str(value)}),
        }


def _type_name(path: Path, argument: ast.arg) -> str:
    annotation = argument.annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        name: str | None = annotation.value
    else:
        name = annotation.attr if isinstance(annotation, ast.Attribute) else getattr(annotation, "id", None)
    if annotation is None:
        name = "str"
    if name not in _TYPES:
        known = ", ".join(_TYPES)
        raise ConfigError(path, argument.lineno, argument.arg, f"its type must be one of {known}")
    return _TYPES[name]


def _command(path: Path, function: str, names: list[str]) -> str:
    """A line of shell: this Python, and each value as one word of its own."""
    program = shlex.join([sys.executable, "-u", "-m", RUNNER, str(path.absolute()), function]).replace(
        "$", "$$"
    )
    return " ".join([program, *(f'{name}="${{{name}}}"' for name in names)])
