"""From a job type's template and a job's values to the script that runs.

A template is translated once, by its own grammar (`Shell`: `$name`, `${name}`, `$$`; `Python`: `{name}`,
`\\{`, `\\}`). Each reference becomes the expansion of a shell variable of ours, `BATCHD_P_0` and so on, and
the values are assigned before the template's first line, single-quoted: nothing in a value is ever parsed
as code, whatever the template looks like. (The script's text holds them, not only the environment, because
Linux takes at most 128 KiB in one environment string; what did not fit is named in
`CommandLine.unexported`.)

**What is a reference.** A name that the type declares, or that is a variable of the host or the
installation. Any other name stays the shell's own where it can be one (`$i`, `$HOME`, `$1`, `${x-y}`) and
is empty where it cannot (`${a.b}`). What is more than a name (`${x:-y}`, `${#x}`, `$?`, `$(…)`) is the
shell's own too; there a parameter is found under its own name. A backslash before the dollar makes it the
shell's, as in any script.

**An undeclared parameter of the job is data for the names that the shell looks up, and cannot change what
the template's own words mean.** It is set under its own name, so that `for i in …; do echo $i` still walks
its list; it is not put inside single quotes, which often hold another program's text (`awk '{print $NF}'`);
and a name that programs might take for an order (`TAR_OPTIONS`) is set only where the environment lacks it,
not exported.

**What stands in its place.** Bare in `Shell` syntax: split into words and matched against file names, as in
any script. Bare in `Python` syntax: one word. In double quotes and here-documents: unchanged. In single
quotes, and in here-documents with a quoted delimiter: unchanged as well. In arithmetic (also beside `-eq`
in `[[ … ]]`) shells evaluate what they expand, so only a whole number may stand there, or the job is
refused. A second evaluation that a template asks for itself (`eval`, `sh -c "$x"`, `ssh host "$x"`, `let`)
is its author's.

`substitution: text`, and what `JobType.implied_substitution` takes for it, pastes values as text. Scripts
for another interpreter than a shell are left as they are: their values are in the environment.
"""

import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from shutil import which

from batchd_flows.command_values import Values, is_settable, quoted
from batchd_flows.errors import FlowsError
from batchd_flows.job_types import JobType, Substitution
from batchd_flows.shell_text import MARK, REFERENCE, Place, ShellText, ShellTextError

CHECK_SECONDS = 10.0

_SHELLS = frozenset({"sh", "dash", "ash", "bash", "ksh", "ksh93", "mksh", "zsh"})
_READ_ESCAPES_IN_DOLLAR_QUOTES = _SHELLS - {"sh", "dash"}
# `${x-y}` is how a shell says "x, or else y"; `$2d` is its second argument and a letter.
_SHELLS_OWN = re.compile(r"\$(?:[A-Za-z]\w*|\d\w*|\{(?:[A-Za-z_]\w*|\d+)(?:-.*)?\})", re.ASCII)
_NUMBER = re.compile(r"\s*(?:[+-]?(?:\d+|0[xX][0-9a-fA-F]+))?\s*", re.ASCII)
_PYTHON = re.compile(r"\\([{}])|\{([\w.-]+)\}|(\{)")
_DOLLARS = re.compile(r"\$\$|" + REFERENCE.pattern)


class TemplateError(FlowsError):
    """A job type's template cannot be used: the type, the line (from 1; 0 for all of it) and why."""

    def __init__(self, type_name: str, line: int, sentence: str) -> None:
        where = f", line {line} of its template" if line else ""
        super().__init__(f"job type {type_name!r}{where}: {sentence}")
        self.type_name = type_name
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """A complete executable file, and what to add to its environment.

    `unexported`: the job's parameters that the environment lacks, too long for it or with no name for it.
    """

    script: str
    environment: dict[str, str]
    unexported: tuple[str, ...] = ()


def compile_command(
    job_type: JobType,
    params: Mapping[str, str],
    *,
    host_variables: Mapping[str, str],
    global_variables: Mapping[str, str],
    default_syntax: str,
) -> CommandLine:
    """The script of one job. Raises TemplateError, or ParameterError for a value that no command can take."""
    template = _Template.of(job_type, default_syntax)
    values = Values.of(job_type, params, host_variables, global_variables)
    values.check(job_type.name)
    environment, unexported = values.environment()
    if template.is_text:
        script = template.script(_pasted(template, values))
    elif template.is_foreign:
        script = template.script(template.body)
    else:
        names = _Names(template, values)
        body = template.translated(names)
        script = template.script(names.assignments() + values.own_assignments(environment) + body)
    return CommandLine(script=script, environment=environment, unexported=unexported)


def check_template(job_type: JobType, default_syntax: str, *, variables: Collection[str] = ()) -> None:
    """Raise TemplateError for a template that can never run.

    `variables`: the names of the hosts' and the installation's variables, which a template may use too.
    """
    template = _Template.of(job_type, default_syntax)
    values = Values.of(job_type, {}, dict.fromkeys(variables, ""), {})
    if template.is_text:
        # What stands for a value decides what parses: refused is only what two likely ones cannot mend.
        refusals = [_refusal(template, _pasted(template, values, instead=word)) for word in ("x", "x;")]
        refusal = refusals[0] if all(refusals) else None
    elif template.is_foreign:
        refusal = None
    else:
        refusal = _refusal(template, template.translated(_Names(template, values, checking=True)))
    if refusal is not None:
        raise refusal


def untranslated_references(job_type: JobType, default_syntax: str) -> tuple[tuple[str, int], ...]:
    """Declared names, with their lines, that a script for another interpreter spells as references.

    They stay text: `check-config` tells of them.
    """
    template = _Template.of(job_type, default_syntax)
    if template.is_text or not template.is_foreign:
        return ()
    pattern = _PYTHON if template.is_python else REFERENCE
    return tuple(
        (name, number)
        for number, line in enumerate(template.lines, start=1)
        for match in pattern.finditer(line)
        for name in match.groups()
        if name and job_type.parameter(name)
    )


@dataclass(frozen=True, kw_only=True)
class _Template:
    type_name: str
    lines: tuple[str, ...]
    is_python: bool
    is_text: bool

    @classmethod
    def of(cls, job_type: JobType, default_syntax: str) -> "_Template":
        lines = "\n".join(job_type.template).rstrip("\n").split("\n")
        if not any(line.strip() for line in lines):
            raise TemplateError(job_type.name, 0, "the template is empty")
        if any("\0" in line for line in lines):
            raise TemplateError(job_type.name, 0, "a NUL character cannot stand in a script")
        return cls(
            type_name=job_type.name,
            lines=tuple(lines),
            is_python=(job_type.syntax or default_syntax) == "Python",
            is_text=job_type.implied_substitution is Substitution.TEXT,
        )

    @property
    def has_shebang(self) -> bool:
        return len(self.lines) > 1 and self.lines[0].startswith("#!")

    @property
    def interpreter(self) -> str:
        """The last name of `#!/bin/bash -e`, `#!/usr/bin/env -S bash`, `#!/bin/busybox sh`: here `sh`."""
        if not self.has_shebang:
            return "sh"
        words = [PurePosixPath(word).name for word in self.lines[0][2:].split()]
        program = [
            word for word in words if word not in {"env", "busybox"} and word[:1] != "-" and "=" not in word
        ]
        return program[0] if program else ""

    @property
    def is_foreign(self) -> bool:
        return self.interpreter not in _SHELLS

    @property
    def body(self) -> str:
        return "\n".join(self.lines[self.has_shebang :])

    def script(self, body: str) -> str:
        return f"{self.lines[0] if self.has_shebang else '#!/bin/sh'}\n{body}\n"

    def translated(self, names: "_Names") -> str:
        text = ShellText(
            self.marked() if self.is_python else self.body,
            names,
            dollars=not self.is_python,
            ansi=self.interpreter in _READ_ESCAPES_IN_DOLLAR_QUOTES,
            line=self.line_at(0),
        )
        try:
            return text.translated()
        except ShellTextError as error:
            raise TemplateError(self.type_name, error.line, error.sentence) from error

    def marked(self) -> str:
        """A `Python` template's body with its references as the marks that `shell_text` knows."""

        def mark(match: re.Match[str]) -> str:
            if match[3]:
                sentence = "`{` begins no `{name}`; a brace of the shell's own is written `\\{`"
                raise TemplateError(self.type_name, self.line_at(match.start()), sentence)
            return match[1] or f"\0{match[2]}\0"

        return _PYTHON.sub(mark, self.body)

    def line_at(self, position: int) -> int:
        return 1 + self.has_shebang + self.body.count("\n", 0, position)


# --- references as variables ---

_REOPENED = {Place.SINGLE: "'\"%s\"'", Place.ANSI: "'\"%s\"$'"}
_VERBATIM = frozenset({Place.SINGLE, Place.ANSI, Place.QUOTED_HERE})


@dataclass
class _Names:
    """The `Names` of one translation: chooses our variables and remembers what to assign to them."""

    template: _Template
    values: Values
    checking: bool = False  # without a job's values
    assigned: dict[tuple[str, str], str] = field(default_factory=dict)  # name and value -> our variable

    def reference(self, name: str, raw: str, place: Place, line: int) -> str:
        if place is Place.ARITHMETIC:
            self.number(name, line)
        if self.values.is_ours(name):
            value = self.values.ours(name) if place in _VERBATIM else self.values.of_name(name)
            return self._expansion(place, self._variable(name, value))
        if self.template.is_python:
            raise TemplateError(self.template.type_name, line, f"{raw} names no parameter of the type")
        if place in _VERBATIM or self._is_the_shells(name, raw):
            return raw
        return self._expansion(place, self._variable(name, self.values.of_name(name)))

    def _is_the_shells(self, name: str, raw: str) -> bool:
        # A job's own parameter `x-y` is meant by `${x-y}`; its `x` by `$x`, which the shell finds.
        return _could_be_the_shells(raw) and ("-" not in name or name not in self.values.job)

    def _expansion(self, place: Place, variable: str) -> str:
        if place is Place.BARE and self.template.is_python:
            return f'"${{{variable}}}"'
        return _REOPENED.get(place, "%s") % f"${{{variable}}}"

    def _variable(self, name: str, value: str) -> str:
        return self.assigned.setdefault((name, value), f"BATCHD_P_{len(self.assigned)}")

    def head(self, name: str) -> str:
        """A parameter is there under its own name where it can be; a variable never is."""
        if not self.values.is_ours(name) or (name in self.values.declared and is_settable(name)):
            return name
        return self._variable(name, self.values.of_name(name))

    def number(self, name: str, line: int) -> None:
        if self.checking or name not in self.values or _NUMBER.fullmatch(self.values.of_name(name)):
            return
        sentence = f"{name} stands in arithmetic, where only a whole number may stand"
        raise TemplateError(self.template.type_name, line, sentence)

    def assignments(self) -> str:
        return "".join(f"{variable}={quoted(value)}\n" for (_, value), variable in self.assigned.items())


def _could_be_the_shells(raw: str) -> bool:
    return bool(_SHELLS_OWN.fullmatch(raw))


# --- values as text ---


def _pasted(template: _Template, values: Values, *, instead: str | None = None) -> str:
    """The template's body with values, or one word `instead` of each, as text."""

    def value(name: str) -> str:
        return values.of_name(name) if instead is None else instead

    def python(match: re.Match[str]) -> str:
        if not values.is_ours(match[1]):
            raise TemplateError(template.type_name, 0, f"{{{match[1]}}} names no parameter of the type")
        return value(match[1])

    def shell(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name in values:
            return value(name)
        return match[0] if _could_be_the_shells(match[0]) else ""

    return MARK.sub(python, template.marked()) if template.is_python else _DOLLARS.sub(shell, template.body)


# --- a look by the shell itself ---


def _refusal(template: _Template, body: str) -> TemplateError | None:
    """What the template's own shell says against this text, without running it; None if it may run."""
    shell = "/bin/sh" if template.interpreter == "sh" else which(template.interpreter)
    if shell is None or template.is_foreign:
        return None
    try:
        done = subprocess.run(
            [shell, "-n"],
            # A line of its own for the shebang, so that the shell counts as the template does.
            input="\n" * template.has_shebang + body + "\n",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=CHECK_SECONDS,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TemplateError(template.type_name, 0, f"{shell} -n does not end")
    if done.returncode == 0:
        return None
    match = re.search(r"(?:line |: )(\d+): (.*)", done.stderr)
    line, said = (int(match[1]), match[2]) if match else (0, done.stderr.strip())
    return TemplateError(template.type_name, line, f"{shell} -n refuses it: {said}")
