"""Conditions that come true sooner or later, and parts that are missing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

LOOK_SECONDS = 0.02


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(LOOK_SECONDS)


def missing(reason: str) -> NoReturn:
    """A skip at home, a failure where CI is set."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def need_programs(*names: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin"
    absent = [name for name in names if shutil.which(name, path=path) is None]
    if absent:
        missing(f"not on this machine: {', '.join(absent)}")


def need_root() -> None:
    if os.geteuid() != 0:
        missing("only root may make namespaces here")
