"""Where it is measured: a folder, and what is started in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from bench.places import Ours, Stock, ours, stock


class Site:
    """Each measurement has an installation and a stock server of its own; in its quick form all share one."""

    def __init__(self, folder: Path, *, quick: bool = False) -> None:
        self.quick = quick
        self._root = folder
        self._numbers = count()
        self._shared = ExitStack()
        self._stock: Stock | None = None
        self._ours: Ours | None = None

    def folder(self) -> Path:
        """A new one."""
        folder = self._root / f"{next(self._numbers)}"
        folder.mkdir()
        return folder

    @contextmanager
    def stock(self) -> Iterator[Stock]:
        if not self.quick:
            with stock(self.folder() / "stock") as place:
                yield place
            return
        if self._stock is None:
            self._stock = self._shared.enter_context(stock(self.folder() / "stock"))
        self._stock.set_pool(is_paused=False, concurrency_limit=None)
        yield self._stock

    @contextmanager
    def ours(self, *, workers: int = 4) -> Iterator[Ours]:
        if not self.quick:
            with ours(self.folder() / "ours", workers=workers) as place:
                yield place
            return
        if self._ours is None:
            self._ours = self._shared.enter_context(ours(self.folder() / "ours", workers=workers))
        yield self._ours

    def close(self) -> None:
        self._shared.close()


@contextmanager
def site(folder: Path, *, quick: bool) -> Iterator[Site]:
    made = Site(folder, quick=quick)
    try:
        yield made
    finally:
        made.close()
