"""Outputs compared with files beside the tests; UPDATE_SNAPSHOTS=1 writes them anew."""

import os
from pathlib import Path

FOLDER = Path(__file__).with_name("snapshots")


def matches(name: str, text: str) -> None:
    """Fails where the file says something else."""
    path = FOLDER / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_bytes(text.encode())
    assert path.is_file(), f"there is no snapshot {name}; UPDATE_SNAPSHOTS=1 writes it"
    assert text == path.read_bytes().decode(), f"{name}; UPDATE_SNAPSHOTS=1 writes it anew if that is right"
