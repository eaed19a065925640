"""How much memory a daemon takes, and large answers that take none of the test's."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx

from tests.acceptance.harness import PASSWORD, USER
from tests.reliability.harness import Site

MOST_GROWTH_KIB = 50 * 1024


def web(here: Site) -> httpx.Client:
    return httpx.Client(base_url=here.url, auth=(USER, PASSWORD), timeout=60, trust_env=False)


class DaemonMemory:
    """How much the memory of the newest daemon has grown at most since this was made."""

    def __init__(self, here: Site) -> None:
        self._proc = Path("/proc") / str(here.daemons[-1].pid)
        (self._proc / "clear_refs").write_text("5")  # the peak counts from here
        self._before = self._read("VmRSS")

    def _read(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", (self._proc / "status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def grown_kib(self) -> int:
        return self._read("VmHWM") - self._before


def streamed(here: Site, path: str) -> tuple[str, int]:
    """A large answer: its digest and size."""
    digest, size = hashlib.sha256(), 0
    with web(here) as client, client.stream("GET", path) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size
