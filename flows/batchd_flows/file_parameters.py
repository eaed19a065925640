"""The files that a job names: its InputFile and OutputFile parameters, judged before it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from batchd_flows.job_types import JobType, ParameterError, ParameterType
from batchd_infra.file_roots import FileForbidden, FileRoots

FILES = frozenset({ParameterType.INPUT_FILE, ParameterType.OUTPUT_FILE})


def require_files(
    job_type: JobType, given: Mapping[str, str], roots: FileRoots, *, folder: str | None
) -> None:
    """Raises ParameterError for a path that `roots` forbid. `folder` is where relative ones begin.

    Only what was given is judged: defaults are those of whoever wrote the type.
    """
    for parameter in job_type.params:
        value = given.get(parameter.name)
        if value and parameter.type in FILES:
            try:
                roots.require(Path(folder or ".", value))
            except FileForbidden as error:
                raise ParameterError(job_type.name, parameter.name, error.sentence) from error


def require_inputs(job_type: JobType, given: Mapping[str, str], *, folder: str | None) -> None:
    """Raises ParameterError for an input file that is not there. As above only what was given is judged.

    One that we may not look at may be there: then its command says what is wrong.
    """
    for parameter in job_type.params:
        value = given.get(parameter.name)
        if not value or parameter.type is not ParameterType.INPUT_FILE:
            continue
        path = Path(folder or ".", value).absolute()
        if _is_missing(path):
            named = "its file" if parameter.secret else f"the input file {path}"
            raise ParameterError(job_type.name, parameter.name, f"{named} does not exist")


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False
