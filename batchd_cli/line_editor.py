"""The shell's line editor: history that outlives it, and completion. Only where people type."""

import os
import re
import readline
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HISTORY_LINES = 2000
_SECRET = re.compile(r"(^|\s)(-P|--password)\b")

Complete = Callable[[list[str], str], list[str]]


def history_path() -> Path:
    """Where the system keeps what may be lost."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "batchd" / "shell_history"


@contextmanager
def editing(complete: Complete) -> Iterator[None]:
    """Within it `input` edits lines, completes at Tab, and remembers."""
    path = history_path()
    _load(path)
    readline.set_auto_history(False)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(_completer(complete))
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(None)
        _save(path)


def remember(line: str) -> None:
    """A line with a password is not kept."""
    if line.strip() and not _SECRET.search(line):
        readline.add_history(line)


def _completer(complete: Complete) -> Callable[[str, int], str | None]:
    found: list[str] = []

    def completer(text: str, state: int) -> str | None:
        if state == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            found[:] = [_quoted(name) + " " for name in complete(words(before), text)]
        return found[state] if state < len(found) else None

    return completer


def words(line: str) -> list[str]:
    """The words of a line, also of one whose quote is still open."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _quoted(name: str) -> str:
    return shlex.quote(name)


def _load(path: Path) -> None:
    readline.clear_history()
    try:
        readline.read_history_file(path)
    except OSError:  # there is none yet
        return


def _save(path: Path) -> None:
    """History is a convenience: where it cannot be kept, nothing is said."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        readline.set_history_length(HISTORY_LINES)
        readline.write_history_file(path)
    except OSError:
        return
