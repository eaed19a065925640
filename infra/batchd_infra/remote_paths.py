"""Paths on another machine, as words of its shell."""

import shlex

_WILD = "*?[]!-^"


def plain(remote: str) -> str:
    """`~` is where a login begins, which neither SFTP nor a quoted word knows."""
    if remote == "~":
        return "."
    return remote[2:].lstrip("/") or "." if remote.startswith("~/") else remote


def word(remote: str) -> str:
    """Quoted, and never an option."""
    path = plain(remote)
    return shlex.quote(path if path.startswith("/") else f"./{path}")


def by_sh(script: str) -> str:
    """A command that a POSIX shell carries out, whatever shell the login has."""
    return f"exec /bin/sh -c {shlex.quote(script)}"


def glob_script(pattern: str) -> str:
    """Prints what matches, each with a NUL; what is there by just this name is the only match."""
    path = plain(pattern)
    begin = "" if path.startswith("/") else "./"
    wild = begin + "".join(char if char in _WILD else shlex.quote(char) for char in path)
    shown = 'printf "%s\\0" "$f"' if not begin else 'printf "%s\\0" "${f#./}"'
    there = '[ -e "$f" ] || [ -L "$f" ]'
    each = f"for f in {wild}; do if {there}; then {shown}; fi; done"
    return f"f={word(path)}; if {there}; then {shown}; exit; fi; {each}"
