"""What the names in a template mean for one job, and what of it is in the job's environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from batchd_flows.job_types import JobType, Parameter, ParameterError, ParameterType
from batchd_flows.parameters import name_problem, value_problem

LONGEST_ENVIRONMENT_STRING = 128 * 1024  # Linux's MAX_ARG_STRLEN: name, "=", value and a zero byte
LONGEST_ENVIRONMENT = 512 * 1024  # all our values; Linux takes 2 MiB with arguments and what is inherited

_SHELL_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# What `name_problem` allows, but a shell sets itself or will not have set.
_SPECIAL = re.compile(
    r"_|PPID|E?[UG]ID|(OLD)?PWD|OPTARG|OPTERR|LINENO|S?RANDOM|SECONDS|FUNCNAME|GROUPS|DIRSTACK|HIST\w*|BASH\w*",
    re.ASCII,
)
# How programs spell the variables that they take orders from: TAR_OPTIONS, MAKEFLAGS, http_proxy.
_ORDER = re.compile(r"[A-Z0-9_]+|\w+_proxy", re.ASCII)


def is_settable(name: str) -> bool:
    """Whether a value may be set under this name: a shell's name that no shell or loader claims."""
    return bool(_SHELL_NAME.fullmatch(name)) and name_problem(name) is None and not _SPECIAL.fullmatch(name)


def quoted(value: str) -> str:
    """The value as one word of any shell; `shlex.quote` without its exceptions."""
    return "'" + value.replace("'", "'\\''") + "'"


@dataclass(frozen=True, kw_only=True)
class Values:
    """The lookup: the job's parameters, its type's defaults, the host's variables, the installation's."""

    declared: Mapping[str, Parameter]
    job: Mapping[str, str]  # given ones, and defaults
    variables: Mapping[str, str]

    @classmethod
    def of(
        cls,
        job_type: JobType,
        params: Mapping[str, str],
        host_variables: Mapping[str, str],
        global_variables: Mapping[str, str],
    ) -> "Values":
        declared = {parameter.name: parameter for parameter in job_type.params}
        defaults = {name: parameter.default for name, parameter in declared.items() if parameter.default}
        given = {
            name: value for name, value in params.items() if value or not _is_integer(declared.get(name))
        }
        variables = {**global_variables, **host_variables}
        return cls(declared=declared, job={**defaults, **given}, variables=variables)

    def check(self, type_name: str) -> None:
        """Raise ParameterError for a value that no command can take."""
        for name, value in {**self.variables, **self.job}.items():
            if sentence := value_problem(value):
                raise ParameterError(type_name, name, sentence)

    def __contains__(self, name: str) -> bool:
        return self.is_ours(name) or name in self.job

    def is_ours(self, name: str) -> bool:
        """Whether the administrator has named it, in the type or among the variables."""
        return name in self.declared or name in self.variables

    def of_name(self, name: str) -> str:
        return self.job[name] if name in self.job else self.variables.get(name, "")

    def ours(self, name: str) -> str:
        """The same without what the job says of undeclared names."""
        return self.of_name(name) if name in self.declared else self.variables.get(name, "")

    def environment(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """What is exported of the job's parameters, and the names of the others."""
        exported: dict[str, str] = {}
        left = LONGEST_ENVIRONMENT
        for name in self._names():
            size = len(f"{name}={self.of_name(name)}".encode()) + 1
            if self._is_exportable(name) and size <= min(left, LONGEST_ENVIRONMENT_STRING):
                exported[name] = self.of_name(name)
                left -= size
        return exported, tuple(name for name in self._names() if name not in exported)

    def own_assignments(self, environment: Mapping[str, str]) -> str:
        """Shell text that sets what is not exported, under its own name, for this shell alone."""
        return "".join(
            self._own_assignment(name)
            for name in self._names()
            if name not in environment and is_settable(name)
        )

    def _own_assignment(self, name: str) -> str:
        assignment = f"{name}={quoted(self.of_name(name))}\n"
        if not self._is_exportable(name):
            return f'[ "${{{name}+set}}" ] || {assignment}'
        # An inherited variable stays exported when it is set: so long a value would fail every exec.
        return f"unset {name}\n{assignment}"

    def _is_exportable(self, name: str) -> bool:
        return is_settable(name) and (name in self.declared or not _ORDER.fullmatch(name))

    def _names(self) -> Mapping[str, object]:
        """The declared parameters, then the job's others."""
        return {**self.declared, **self.job}


def _is_integer(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.type is ParameterType.INTEGER
