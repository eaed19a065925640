"""`python -m batchd_flows.python_type_run FILE FUNCTION NAME=VALUE…`: the command of a job type in Python."""

from __future__ import annotations

import inspect
import runpy
import sys
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from batchd_flows.python_types import InputFile, OutputFile

WRONG_CALL = 2


def main(words: Sequence[str]) -> int:
    """Call the function; its result is the exit status if it is a whole number, else 0."""
    path, name, *pairs = words
    function = runpy.run_path(path).get(name)
    if not callable(function):
        print(f"{path} has no function {name} any more", file=sys.stderr)
        return WRONG_CALL
    result = function(**_arguments(function, dict(pair.split("=", 1) for pair in pairs)))
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _arguments(function: Callable[..., Any], texts: dict[str, str]) -> dict[str, Any]:
    """The texts as the function's types; an empty one stands for the default."""
    signature, hints = inspect.signature(function), get_type_hints(function)
    values: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        text = texts.get(name, "")
        if text == "" and parameter.default is not inspect.Parameter.empty:
            continue
        kind = hints.get(name, str)
        values[name] = kind(text) if kind in (int, InputFile, OutputFile) else text
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
