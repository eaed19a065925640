"""Where a job's files lie on a host: each job's in folders of its own, so that equal names never meet."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchd_flows.job_types import JobType, ParameterType

WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class FileCopy:
    """`elsewhere` is where a command may have written an output instead, as those of old host files did."""

    parameter: str
    local: Path
    remote: str
    elsewhere: str | None = None

    @property
    def is_pattern(self) -> bool:
        return bool(WILDCARDS & set(posixpath.basename(self.remote)))


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """`values`: what the command sees in place of the parameters. `folders` are made before it runs."""

    inputs: tuple[FileCopy, ...] = ()
    outputs: tuple[FileCopy, ...] = ()
    folders: tuple[str, ...] = ()
    values: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs)


def plan_files(
    job_type: JobType,
    values: Mapping[str, str],
    *,
    input_directory: str,
    output_directory: str,
    own_folder: str,
) -> JobFiles:
    """Of the job's resolved values. The directories are absolute paths on the host.

    A value that ends with a slash is a folder; an output whose last part has wildcards is all that matches.
    """
    into = posixpath.join(input_directory, own_folder, "in")
    out_of = posixpath.join(output_directory, own_folder, "out")
    inputs: dict[str, FileCopy] = {}
    outputs: dict[str, FileCopy] = {}
    shown: dict[str, str] = {}
    for parameter in job_type.params:
        value = values.get(parameter.name, "")
        base = posixpath.basename(value.rstrip("/"))
        if not base or base == "..":
            continue
        if parameter.type is ParameterType.INPUT_FILE:
            remote = _free(into, base, parameter.name, inputs, value)
            shown[parameter.name] = remote
            inputs[remote] = FileCopy(parameter=parameter.name, local=Path(value), remote=remote)
        elif parameter.type is ParameterType.OUTPUT_FILE:
            remote = _free(out_of, base, parameter.name, outputs, value)
            shown[parameter.name] = remote
            elsewhere = posixpath.join(output_directory, base)
            outputs[remote] = FileCopy(
                parameter=parameter.name, local=Path(value), remote=remote, elsewhere=elsewhere
            )
    copies = (*inputs.values(), *outputs.values())
    folders = [posixpath.dirname(copy.remote) for copy in copies]
    folders += [copy.remote for copy in outputs.values() if values[copy.parameter].endswith("/")]
    return JobFiles(
        inputs=tuple(inputs.values()),
        outputs=tuple(outputs.values()),
        folders=tuple(dict.fromkeys(folders)),
        values=shown,
    )


def own_folders(input_directory: str, output_directory: str, own_folder: str) -> tuple[str, ...]:
    """All of a job's files on the host lie under these."""
    roots = (posixpath.join(directory, own_folder) for directory in (input_directory, output_directory))
    return tuple(dict.fromkeys(roots))


def _free(folder: str, base: str, parameter: str, taken: Mapping[str, FileCopy], value: str) -> str:
    """Two parameters with files of one name get a folder each; the same file is there once."""
    remote = posixpath.join(folder, base)
    if remote in taken and taken[remote].local != Path(value):
        return posixpath.join(folder, parameter, base)
    return remote
