"""Parameters of job types: what a name and a value may be, before either comes near a command."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from batchd_flows.errors import FlowsError

MAX_NAME_LENGTH = 128
MAX_VALUE_BYTES = 256 * 1024
MAX_TOTAL_BYTES = 512 * 1024
MAX_PARAMETERS = 1000
MAX_INTEGER_DIGITS = 100

_INTEGER = re.compile(r"-?[0-9]+")

# Variables that make a shell, a loader or an interpreter run or load something else.
_REFUSED = """
PATH IFS ENV BASH_ENV HOME SHELL SHELLOPTS BASHOPTS CDPATH GLOBIGNORE PROMPT_COMMAND ZDOTDIR FPATH
PS0 PS1 PS2 PS3 PS4 OPTIND PERL5LIB PERL5OPT PERL5DB PERLLIB RUBYOPT RUBYLIB NODE_OPTIONS NODE_PATH
JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH GCONV_PATH LOCPATH NLSPATH HOSTALIASES
RES_OPTIONS RESOLV_HOST_CONF TERMINFO TERMCAP EDITOR VISUAL PAGER LESSOPEN LESSCLOSE
"""
_REFUSED_NAMES = frozenset(_REFUSED.split())
_REFUSED_PREFIXES = (
    "LD_",
    "DYLD_",
    "BASH_FUNC_",
    "PYTHON",
    "MALLOC_",
    "GLIBC_",
    "GIT_",
    "PREFECT",
    "BATCHD_",
)


class ParameterType(enum.StrEnum):
    STRING = "String"
    INTEGER = "Integer"
    INPUT_FILE = "InputFile"
    OUTPUT_FILE = "OutputFile"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One declared parameter. `title` empty means: the name. `default` empty means: none."""

    name: str
    type: ParameterType = ParameterType.STRING
    title: str = ""
    default: str = ""
    secret: bool = False

    @property
    def label(self) -> str:
        return self.title or self.name


class ParameterError(FlowsError):
    """A parameter of a job cannot be taken as it was given."""

    def __init__(self, type_name: str, parameter: str, sentence: str) -> None:
        self.type_name = type_name
        self.parameter = parameter
        self.sentence = sentence
        super().__init__(f"job type {type_name!r}, parameter {parameter[:MAX_NAME_LENGTH]!r}: {sentence}")


def name_problem(name: str) -> str | None:
    """Why `name` cannot name a parameter, or None. Letters and digits are those of any script."""
    if not name or len(name) > MAX_NAME_LENGTH:
        return f"a name has 1 to {MAX_NAME_LENGTH} characters"
    if name[0] in "-." or not all(c.isalpha() or c.isdecimal() or c in "_-." for c in name):
        return "a name is made of letters, digits, '_', '-' and '.', and begins with a letter, digit or '_'"
    if name in _REFUSED_NAMES or name.startswith(_REFUSED_PREFIXES):
        return "this name belongs to the system and would change how programs run"
    return None


def value_problem(value: str) -> str | None:
    """Why `value` cannot be the value of any parameter, or None."""
    if "\0" in value:
        return "a value cannot contain a NUL character"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "the value is not valid Unicode text"
    return (
        f"a value has at most {MAX_VALUE_BYTES} bytes, this one has {size}"
        if size > MAX_VALUE_BYTES
        else None
    )


def integer_problem(value: str) -> str | None:
    """Why `value` is no whole number, or None: digits, perhaps after a minus sign, and nothing else."""
    if not _INTEGER.fullmatch(value):
        return f"{value[:40]!r} is not a whole number"
    if len(value) > MAX_INTEGER_DIGITS:
        return f"a whole number has at most {MAX_INTEGER_DIGITS} digits"
    return None


def text_of(given: object, declared: Parameter | None) -> tuple[str, str | None]:
    """The text of a JSON value and why it cannot be one. Numbers count only where an Integer is declared."""
    if isinstance(given, str):
        return given, value_problem(given)
    wants_integer = declared is not None and declared.type is ParameterType.INTEGER
    if wants_integer and isinstance(given, int) and not isinstance(given, bool):
        if abs(given) >= 10**MAX_INTEGER_DIGITS:
            return "", f"a whole number has at most {MAX_INTEGER_DIGITS} digits"
        return str(given), None
    return "", "a whole number is wanted" if wants_integer else "a string is wanted"


def total_problem(values: Mapping[str, str]) -> str | None:
    """Why so many values together cannot be taken, or None."""
    if len(values) > MAX_PARAMETERS:
        return f"a job has at most {MAX_PARAMETERS} parameters"
    if sum(len(text.encode()) for text in values.values()) > MAX_TOTAL_BYTES:
        return f"all values together have at most {MAX_TOTAL_BYTES} bytes"
    return None
