"""Who uses a state folder: one manager and one dispatcher, or whoever changes the database below them."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from batchd_api.errors import StartupError
from batchd_api.settings_records import DaemonMode


@contextlib.contextmanager
def only_one(state_directory: Path, mode: DaemonMode) -> Iterator[None]:
    """Hold the state folder: two daemons on one would end each other's server and read each other's jobs."""
    roles = {DaemonMode.BOTH: ["manager", "dispatcher"]}.get(mode, [mode.value.lower()])
    with contextlib.ExitStack() as held:
        for role in roles:
            file = held.enter_context((state_directory / f"{role}.lock").open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StartupError(
                    f"A {role} runs already with the state folder {state_directory}."
                ) from error
        yield
