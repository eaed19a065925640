"""A password of the command line made unreadable in the list of processes, where the system allows it."""

import os
from pathlib import Path

_PROCESS = Path("/proc/self")
_ARG_START = 48 - 3  # proc(5) counts from 1, and the two fields up to the name's parenthesis are cut off


def cover(secret: str) -> None:
    """Write x over it in this process's own arguments. Linux only; elsewhere nothing happens.

    Until Python has started it stands there all the same, so this is no reason to use the option.
    """
    hidden = os.fsencode(secret)
    try:
        fields = (_PROCESS / "stat").read_text().rpartition(")")[2].split()
        start, end = (int(field) for field in fields[_ARG_START : _ARG_START + 2])
        with (_PROCESS / "mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            arguments = memory.read(end - start).split(b"\0")
            covered = [_covered(argument, hidden) for argument in arguments]
            if covered != arguments:
                memory.seek(start)
                memory.write(b"\0".join(covered))
    except (OSError, ValueError, IndexError, OverflowError):
        return


def _covered(argument: bytes, hidden: bytes) -> bytes:
    whole = argument == hidden or argument in (b"-P" + hidden, b"--password=" + hidden)
    return argument.replace(hidden, b"x" * len(hidden)) if whole else argument
