"""`python -m batchd_flows.embedded_prefect server start`: Prefect's program, with a thread for its garbage.

On SQLite the collector may come upon a cursor whose statement another cursor executes meanwhile, in a thread
that waits for the write lock; to free the first it waits for the second. On the thread of the event loop
nothing goes on then, not even the transaction that has the lock: the whole server stood still for SQLite's
60 s. On a thread of its own the collector waits alone.
"""

import gc
import runpy
import threading
import time

LOOK_SECONDS = 0.5


def collect_beside() -> None:
    """From now on garbage is collected by a thread that does nothing else."""
    gc.disable()
    threading.Thread(target=_collect_for_ever, name="garbage", daemon=True).start()


def _collect_for_ever() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        generation = due_generation(gc.get_count(), gc.get_threshold())
        if generation is not None:
            gc.collect(generation)


def due_generation(counts: tuple[int, int, int], thresholds: tuple[int, int, int]) -> int | None:
    """The oldest that is due by the interpreter's own counts."""
    pairs = zip(counts, thresholds, strict=True)
    return max((number for number, (count, most) in enumerate(pairs) if count > most), default=None)


if __name__ == "__main__":
    collect_beside()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
