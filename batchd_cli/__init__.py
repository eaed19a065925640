"""The `batch` command line: speaks HTTP to a manager and imports nothing else of the project.

For programs of your own: `Client` is the manager, and `errors` what it may raise. They are loaded when first
asked for: the command line starts without.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "BatchError": "batchd_cli.errors",
    "Client": "batchd_cli.client",
    "JobHandle": "batchd_cli.handle",
    "basic": "batchd_cli.client",
    "user_header": "batchd_cli.client",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
