"""An upgrade of a database, in a process of its own that is killed at a chosen statement."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from alembic.ddl.impl import DefaultImpl

from batchd_api.db.session import Database
from batchd_api.db.upgrade import upgrade

# Never forked from the test's own process: what its threads hold would be held for ever.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def upgraded_until_killed(path: Path, step: int) -> bool:
    """Killed before its `step`th statement. True: it came to the end."""
    child = _processes.Process(target=_upgrade, args=(path, step))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == 0


def _upgrade(path: Path, step: int) -> None:
    executed, count = DefaultImpl._exec, itertools.count(1)

    def execute(impl: DefaultImpl, *args: Any, **kwargs: Any) -> Any:
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return executed(impl, *args, **kwargs)

    DefaultImpl._exec = execute  # type: ignore[method-assign]
    upgrade(Database(f"sqlite:///{path}"))
