"""Names that Prefect accepts, made from names that people chose."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

POOL_PREFIX = "batchd-"
WINDOWS_POOL = "batchd-windows"  # no queue's: the runs in it show when queues open and close
RUN_NAME_LENGTH = 60
_PLAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


def slug(name: str) -> str:
    """`name` where it is plain already, else its plain letters with a hash, so that no two names meet."""
    return name if _PLAIN.fullmatch(name) else _hashed(name)


def _hashed(name: str) -> str:
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{letters}-{digest}" if letters else digest


def pool_name(queue_name: str) -> str:
    """The work pool of a queue; its true name stands in the pool's description and in tags."""
    is_taken = POOL_PREFIX + queue_name == WINDOWS_POOL
    return POOL_PREFIX + (_hashed(queue_name) if is_taken else slug(queue_name))


def flow_name(type_name: str) -> str:
    """A job type's own name, but for the letters that Prefect refuses in the name of a flow."""
    return slug(type_name) if set(type_name) & set("/%&<>") else type_name


def run_name(job_id: int, type_name: str, values: Iterable[str]) -> str:
    """`#17 blender shot_03.blend`: the id first, then what tells it from its neighbours."""
    words = [f"#{job_id}", type_name, *(" ".join(value.split()) for value in values)]
    text = " ".join(word for word in words if word)
    return text if len(text) <= RUN_NAME_LENGTH else text[: RUN_NAME_LENGTH - 1] + "…"
