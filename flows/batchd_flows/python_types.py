"""Job types written in Python: a decorated function in `jobtypes/FILE.py` is what a YAML file would be.

    from batchd_flows import InputFile, OutputFile, job_type

    @job_type(title="Thumbnail", on_fail="retry")
    def thumbnail(picture: InputFile, small: OutputFile, width: int = 200):
        \"\"\"Make a picture small.\"\"\"
        ...

The daemon never runs such a file: `python_type_files` reads it. The function runs as the job's command, with
this Python; what it prints is the output, an exception or a false exit status fails the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")


class InputFile(str):
    """The path of a file that the job reads; on another machine, where it was copied to."""

    __slots__ = ()


class OutputFile(str):
    """The path of a file that the job writes."""

    __slots__ = ()


@overload
def job_type(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def job_type(
    *,
    name: str | None = None,
    title: str = "",
    on_fail: str | Mapping[str, Mapping[str, str | int]] = "continue",
    max_jobs: int | None = None,
    timeout: float | str | None = None,
    silence: float | str | None = None,
    kill_after: float | str | None = None,
    working_directory: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def job_type(function: Callable[P, R] | None = None, /, **_keys: Any) -> Any:
    """Marks a function as a job type; its keywords are the keys of a job type's YAML file, as literals.

    The function stays as it is, so that it can be called and tested.
    """
    if function is not None:
        return function
    return lambda decorated: decorated
