"""Writes docs/reference/python.md from the code itself; with --check it only says whether that is due.

python docs/make_python_reference.py
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from reference_page import written_or_checked

import batchd_flows
from batchd_cli import client, errors, job_calls
from batchd_cli.handle import JobHandle
from batchd_cli.record import Record

PAGE = Path(__file__).parent / "reference" / "python.md"

INTRODUCTION = """\
# Python

<!-- Written by docs/make_python_reference.py from the code; do not edit. -->

Two packages are meant for programs of yours: `batchd_cli`, the REST interface as a class (HTTP only: it
loads no Prefect and no database), and `batchd_flows`, job types as Prefect flows ([flows.md](../flows.md)).

    from batchd_cli import Client, basic

    with Client("http://localhost:9681", auth=basic("me", "secret")) as manager:
        job = manager.enqueue("night", "command", {"command": "make"}).wait()
        print(job.status, job.exit_code)

`Client.configured()` takes manager and user from where `batch` takes them. Times are aware `datetime`s.
"""


def page() -> str:
    return "\n".join(
        [INTRODUCTION, *client_part(), *keyword_part(), *record_part(), *error_part(), *flow_part()]
    )


def client_part() -> Iterator[str]:
    yield "## Client\n"
    for name, member in inspect.getmembers(client.Client, callable):
        if not name.startswith("_"):
            yield entry(f"Client.{name}", member)
    yield "## JobHandle\n"
    for name, member in inspect.getmembers(JobHandle, callable):
        if not name.startswith("_"):
            yield entry(f"JobHandle.{name}", member)
    yield "## Credentials\n"
    yield entry("basic", client.basic)
    yield entry("user_header", client.user_header)


def record_part() -> Iterator[str]:
    yield "## Records\n\nFrozen; the names are those of the REST interface.\n"
    for name in client.__all__:
        keys = fields_of(getattr(client, name))
        if keys:
            about = said(getattr(client, name)).replace("\n", " ")
            yield f"- **{name}**: {', '.join(f'`{key}`' for key in keys)}{'. ' + about if about else ''}"
    yield ""


def fields_of(thing: Any) -> list[str]:
    """Of a record, or of a dataclass that is given; none of anything else."""
    if inspect.isclass(thing) and issubclass(thing, Record):
        return list(thing._names)
    return [one.name for one in fields(thing)] if is_dataclass(thing) and thing is not JobHandle else []


def keyword_part() -> Iterator[str]:
    yield "## Keywords\n\nOf the methods that take `**which` or `**order`.\n"
    for words in (job_calls.JobFilter, job_calls.Order):
        keys = ", ".join(f"`{name}`" for name in words.__annotations__)
        yield f"- **{words.__name__}**: {keys}"
    yield ""


def error_part() -> Iterator[str]:
    yield "## Errors\n\nOf `batchd_cli.errors`; all are `BatchError`s.\n"
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.BatchError) and error.__module__ == errors.__name__:
            yield f"- **{name}**: {said(error)}"
    yield ""


def flow_part() -> Iterator[str]:
    yield "## batchd_flows\n"
    for name in batchd_flows.__all__:
        thing = getattr(batchd_flows, name)
        if inspect.isclass(thing):
            yield f"### {name}\n\n{said(thing)}\n"
        else:
            yield entry(name, thing)
    yield entry("TypeFlow.submit_to", batchd_flows.TypeFlow.submit_to)


def entry(name: str, function: Callable[..., Any]) -> str:
    return f"### {name}\n\n    {name.rpartition('.')[2]}{signature(function)}\n\n{said(function)}\n"


def signature(function: Callable[..., Any]) -> str:
    found = inspect.signature(function)
    kept = [one for name, one in found.parameters.items() if name not in ("self", "cls")]
    text = re.sub(r"\*?<class '([\w.]+)'>", r"Unpack[\1]", str(found.replace(parameters=kept)))
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text.replace("'", ""))


def said(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "").strip()


def main(arguments: list[str]) -> int:
    return written_or_checked(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
